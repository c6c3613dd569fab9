//! A NATS server of one thread a connection: the broker has no loop of its own, any will do.
//!
//! `cargo run -p lunix-core --example broker`, then connect any NATS client to port 4222.
//!
//! It writes while it holds the broker, so that one slow reader stops everybody: a real server keeps a ring a
//! connection and writes when the socket takes it, as natsd does.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use lunix_core::broker::{Action, Arrays, Broker, ClientId, Input, Limits, Peer, Progress};
use lunix_core::time::Instant;
use lunix_proto::nats::Info;

/// 32 connections, 256 subscriptions; vectors behind [`lunix_core::broker::Memory`] would let it grow.
type Memory = Arrays<1024, 256, 64, 256, 32>;

struct Server {
    broker: Broker<Memory>,
    sockets: HashMap<ClientId, TcpStream>,
    start: std::time::Instant,
}

impl Server {
    /// Carries out all that `input` causes.
    fn handle(&mut self, input: Input<'_>) -> Progress {
        let info = Info {
            version: "2.15.1".into(),
            proto: 1,
            headers: true,
            max_payload: 1 << 20,
            ..Info::default()
        };
        let mut bytes = [0; 8192];
        let now = Instant::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX));
        let mut turn = self.broker.handle(now, input);
        while let Some(action) = turn.poll() {
            // Who cannot be written to is closed by its own thread, whose read fails as well.
            let _ = match action {
                Action::Send { to, line } => line
                    .encode(&mut bytes, &info)
                    .map(|len| self.sockets.get_mut(&to).map(|socket| socket.write_all(&bytes[..len])))
                    .is_ok(),
                Action::Deliver(delivery) => delivery
                    .encode_head(&mut bytes)
                    .map(|len| {
                        let mut socket = self.sockets.get(&delivery.to())?;
                        socket.write_all(&bytes[..len]).and_then(|()| socket.write_all(delivery.body())).ok()
                    })
                    .is_ok(),
                Action::Close { client, .. } => self
                    .sockets
                    .get(&client)
                    .is_some_and(|socket| socket.shutdown(std::net::Shutdown::Both).is_ok()),
                // Only a broker with users asks who somebody is, and only one that serves requests hears of them. Sockets
                // that block make their writer wait: nobody is behind.
                _ => false,
            };
        }
        turn.progress()
    }
}

fn serve(server: &Mutex<Server>, client: ClientId, mut socket: TcpStream) -> io::Result<()> {
    let peer = Peer::Tcp(socket.peer_addr()?);
    let mut lock = locked(server);
    lock.sockets.insert(client, socket.try_clone()?);
    lock.handle(Input::Opened { client, peer });
    drop(lock);
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let len = socket.read(&mut chunk)?;
        if len == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&chunk[..len]);
        let mut done = 0;
        while done < buffer.len() {
            match locked(server).handle(Input::Received { client, bytes: &buffer[done..] }) {
                Progress::Consumed(bytes) => done += bytes,
                _ => break,
            }
        }
        buffer.drain(..done);
    }
}

fn locked(server: &Mutex<Server>) -> MutexGuard<'_, Server> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "the machine is told the time; the driver reads the clock")]
fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:4222")?;
    let broker = Broker::new(Memory::EMPTY, Limits::DEFAULT, 0x5eed);
    let server = Server { broker, sockets: HashMap::new(), start: std::time::Instant::now() };
    let server = Arc::new(Mutex::new(server));
    println!("listening on {}", listener.local_addr()?);
    for socket in listener.incoming() {
        let mut lock = locked(&server);
        // The smallest number that is free: it is the client's slot in the broker's table.
        let Some(client) = (0..32).map(ClientId::new).find(|client| !lock.sockets.contains_key(client))
        else {
            continue;
        };
        let socket = socket?;
        lock.sockets.insert(client, socket.try_clone()?);
        drop(lock);
        let server = Arc::clone(&server);
        thread::spawn(move || {
            let end = serve(&server, client, socket);
            let mut lock = locked(&server);
            lock.handle(Input::Closed { client });
            lock.sockets.remove(&client);
            if let Err(error) = end {
                eprintln!("{client:?}: {error}");
            }
        });
    }
    Ok(())
}
