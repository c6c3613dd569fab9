//! Between the gateway and the store: one batch after the other, each written by a thread while the next is gathered.

use std::io;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::SystemTime;

use lunix::reactor::monotonic;
use tokio::sync::oneshot;

use super::daemon::Shared;
use super::gateway::{Batch, Epoch, Gateway, Upstream};
use super::store::Store;
use super::users::Users;

/// A batch, and where to say that it is written, or to give it back.
type Order = (Batch, oneshot::Sender<Option<Batch>>);

/// The way to the thread, which ends with it.
#[derive(Debug)]
pub(super) struct Keeper {
    orders: mpsc::Sender<Order>,
}

/// How the wall clock stands to the monotonic one now: it may be set at any time.
pub(super) fn epoch() -> Epoch {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Epoch::new(u64::try_from(wall.as_micros()).unwrap_or(u64::MAX), monotonic())
}

/// Restores what `store` has of another time.
///
/// # Errors
/// It is damaged.
pub(super) fn restore<U: Upstream>(gateway: &mut Gateway<U>, store: &Store, users: &Users) -> io::Result<()> {
    let mut restoring = gateway.restore(monotonic(), epoch(), |user| users.rules(user));
    store.read(|key, value| restoring.take(key, value).is_ok())?;
    restoring.finish();
    Ok(())
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel refuses one.
    pub(super) fn start(mut store: Store) -> io::Result<Self> {
        let (orders, waiting) = mpsc::channel::<Order>();
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            for (batch, done) in waiting {
                // Who does not wait for it any more is at an end.
                let _ = done.send((!store.write(batch.iter())).then_some(batch));
            }
        })?;
        Ok(Self { orders })
    }

    /// Writes what is to be written, now and whenever there is something.
    pub(super) async fn run(self, shared: Rc<Shared>) {
        loop {
            let next = shared.daemon.borrow_mut().gateway.next_batch(epoch());
            let Some(batch) = next else {
                shared.kept.notify_one();
                shared.to_write.notified().await;
                continue;
            };
            let (done, written) = oneshot::channel();
            let given_back = match self.orders.send((batch, done)) {
                // Panics end the process: there is always an answer.
                Ok(()) => written.await.unwrap_or_else(|_| Some(Batch::default())),
                Err(mpsc::SendError((batch, _))) => Some(batch),
            };
            shared.daemon.borrow_mut().gateway.written(monotonic(), given_back);
            shared.changed.notify_one();
        }
    }
}
