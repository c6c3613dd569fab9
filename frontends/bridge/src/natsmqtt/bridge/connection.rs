//! A bridge's connections: dialled in turn, with a wait that grows between rounds, and served until they end.

use std::collections::hash_map::RandomState;
use std::future::pending;
use std::hash::BuildHasher as _;
use std::io;
use std::rc::Rc;

use lunix::encoded::encoded;
use lunix::log::{self, Level};
use lunix::reactor::monotonic;
use lunix_core::time::{Duration, Instant};
use lunix_proto::json::Writer;
use lunix_proto::mqtt::{Limits, ServerDecoder};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::address::Address;
use super::{OUTPUT, Remote};
use crate::natsmqtt::NAME;
use crate::natsmqtt::daemon::Shared;
use crate::stream::Stream;

/// The first wait; it doubles from round to round.
const FIRST: Duration = Duration::from_millis(100);
/// Bytes that are read at a time.
const PIECE: usize = 16 << 10;
/// What a broker has to take the last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// Keeps a bridge connected for as long as it runs, or until the process ends.
pub(in crate::natsmqtt) async fn keep(shared: Rc<Shared>, number: usize, remote: Rc<Remote>) {
    let (mut turn, mut rounds) = (0_usize, 0_u32);
    loop {
        shared.nats_is_there().await;
        let Some(address) = remote.addresses.get(turn) else { return };
        let reason = match timeout(remote.connect_timeout, dial(&remote, address)).await {
            Ok(Ok(stream)) => {
                let begun = monotonic();
                let (was_up, reason) = serve(&shared, number, address, stream).await;
                if shared.daemon.borrow().bridges.is_ending() {
                    return;
                }
                if was_up {
                    say(&shared, &remote, address, "disconnected", Some(&reason));
                    log::line(Level::Warn, NAME, format_args!("bridge {}: {reason}", remote.name));
                    // Two that take each other's place would do so all the time.
                    let has_lasted = monotonic().since(begun) > remote.restart_timeout;
                    (turn, rounds) = (0, if has_lasted { 0 } else { rounds + 1 });
                    sleep(wait(rounds, remote.restart_timeout)).await;
                    continue;
                }
                reason
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no connection in time".to_owned(),
        };
        // The first failure of each address is told, the others are for developers.
        let level = if rounds == 0 { Level::Warn } else { Level::Debug };
        log::line(level, NAME, format_args!("bridge {}: {address}: {reason}", remote.name));
        turn += 1;
        if turn >= remote.addresses.len() {
            sleep(wait(rounds, remote.restart_timeout)).await;
            (turn, rounds) = (0, rounds + 1);
        }
    }
}

/// Less up to half of it, so that the bridges of a broker that restarts do not come all at once.
fn wait(rounds: u32, longest: Duration) -> Duration {
    let wait = FIRST.saturating_mul(1 << rounds.min(16)).min(longest);
    let part = RandomState::new().hash_one(rounds) % 1024;
    wait - wait.mul_f64(part as f64 / 2048.0)
}

async fn dial(remote: &Remote, address: &Address) -> io::Result<Stream> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    // What is said is gathered already.
    let _ = stream.set_nodelay(true);
    match remote.connector.as_ref().filter(|_| address.tls) {
        Some(connector) => connector.connect(address.host.clone(), Box::new(stream)).await,
        None => Ok(Box::new(stream)),
    }
}

/// Says on NATS what has become of a bridge.
fn say(shared: &Shared, remote: &Remote, address: &Address, what: &str, reason: Option<&str>) {
    let payload = encoded(256, |out| {
        let mut writer = Writer::new(out);
        writer.begin_object();
        writer.key("name").string(&remote.name);
        writer.key("address").string(&address.to_string());
        if let Some(reason) = reason {
            writer.key("reason").string(reason);
        }
        writer.end_object();
        writer.finish()
    });
    let subject = format!("mqtt.bridge.{}.{what}", remote.name);
    // If there is no room for it, there is worse.
    let _ = shared.daemon.borrow_mut().gateway.upstream.publish(subject, &payload);
    shared.changed.notify_one();
}

/// What is being written.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
}

impl Outgoing {
    /// Writes all. Nothing is lost or said twice if it is cancelled.
    async fn write(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            match to.write(rest).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                length => self.written += length,
            }
        }
        to.flush().await?;
        self.bytes = Vec::new();
        self.written = 0;
        Ok(())
    }
}

/// Serves a connection until it ends. Whether the broker had welcomed us, and why it ended.
async fn serve(shared: &Shared, number: usize, address: &Address, stream: Stream) -> (bool, String) {
    let (wake, remote) = {
        let mut daemon = shared.daemon.borrow_mut();
        let Some(bridge) = daemon.bridges.get_mut(number) else { return (false, String::new()) };
        bridge.open(monotonic(), &address.site());
        (bridge.wake.clone(), bridge.remote.clone())
    };
    let limits = Limits { packet: remote.packet, whole: remote.packet };
    let mut decoder = ServerDecoder::new(remote.version, limits);
    let (mut reader, mut writer) = split(stream);
    let (mut input, mut piece) = (Vec::new(), vec![0; PIECE]);
    let mut outgoing = Outgoing::default();
    let mut is_said = false;
    let reason = loop {
        let now = monotonic();
        let (is_up, is_closing, deadline, is_full, is_behind) = {
            let mut daemon = shared.daemon.borrow_mut();
            let is_full = daemon.is_full();
            let Some(bridge) = daemon.bridges.get_mut(number) else { break String::new() };
            if outgoing.bytes.is_empty() {
                bridge.pump(now);
                if let Some(link) = &mut bridge.link {
                    std::mem::swap(&mut outgoing.bytes, &mut link.output);
                }
            }
            let is_closing = bridge.link.as_ref().is_none_or(|link| link.closing.is_some());
            let is_behind = bridge.link.as_ref().is_some_and(|link| link.output.len() >= OUTPUT);
            (bridge.is_up(), is_closing, bridge.next_deadline(), is_full, is_behind)
        };
        if is_up && !is_said {
            is_said = true;
            log::line(Level::Info, NAME, format_args!("bridge {}: connected to {address}", remote.name));
            say(shared, &remote, address, "connected", None);
        }
        if is_closing {
            let _ = timeout(FAREWELL, farewell(shared, number, &mut outgoing, &mut writer)).await;
            break String::new();
        }
        let is_writing = !outgoing.bytes.is_empty();
        tokio::select! {
            () = wake.notified() => {}
            written = outgoing.write(&mut writer), if is_writing => {
                if let Err(error) = written {
                    break error.to_string();
                }
            }
            // A broker that takes no answers is asked nothing.
            read = reader.read(&mut piece), if !is_full && !is_behind => match read {
                Ok(0) => break "the broker has closed the connection".to_owned(),
                Ok(length) => {
                    input.extend_from_slice(piece.get(..length).unwrap_or_default());
                    take(shared, number, &mut decoder, &mut input);
                }
                Err(error) => break error.to_string(),
            },
            () = shared.room.notified(), if is_full => {}
            () = until(deadline) => {
                if let Some(bridge) = shared.daemon.borrow_mut().bridges.get_mut(number) {
                    bridge.tick(monotonic(), is_full);
                }
            }
        }
    };
    let closed = shared.daemon.borrow_mut().bridges.get_mut(number).and_then(|bridge| bridge.closed());
    (is_said, closed.unwrap_or(reason))
}

/// Writes what is said last.
async fn farewell(
    shared: &Shared,
    number: usize,
    outgoing: &mut Outgoing,
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    outgoing.write(writer).await?;
    if let Some(link) =
        shared.daemon.borrow_mut().bridges.get_mut(number).and_then(|bridge| bridge.link.as_mut())
    {
        std::mem::swap(&mut outgoing.bytes, &mut link.output);
    }
    outgoing.write(writer).await?;
    writer.shutdown().await
}

/// Hands over all whole packets.
fn take(shared: &Shared, number: usize, decoder: &mut ServerDecoder, input: &mut Vec<u8>) {
    let mut daemon = shared.daemon.borrow_mut();
    let daemon = &mut *daemon;
    let Some(bridge) = daemon.bridges.get_mut(number) else { return };
    let mut taken = 0;
    loop {
        let rest = input.get(taken..).unwrap_or_default();
        if rest.len() < decoder.needed() {
            break;
        }
        match decoder.decode(rest) {
            Ok(Some((packet, length))) => {
                taken += length;
                bridge.take(monotonic(), &mut daemon.gateway, &packet);
            }
            Ok(None) => break,
            Err(error) => {
                bridge.fail(error);
                break;
            }
        }
    }
    input.drain(..taken);
    if input.is_empty() {
        *input = Vec::new();
    }
    shared.changed.notify_one();
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep(deadline.since(monotonic())).await,
        None => pending().await,
    }
}
