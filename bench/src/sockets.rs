//! Clients that read messages from a loopback socket: async-nats keeps its decoder to itself.

use crate::rounds::{Case, Group, Work};
use crate::streams::{PAYLOAD, message_line};
use bytes::BufMut;
use futures_util::StreamExt;
use lunix_proto::nats::{Limits, ServerDecoder, ServerOp};
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// Messages of one turn; less than async-nats queues, so that it drops none.
const MESSAGES: usize = 100_000;

/// Bytes that lunix and watermelon read at once: async-nats's default.
const READ: usize = 64 << 10;

/// A thread that speaks just enough of a server to have one subscriber, and floods it when told to.
struct Feeder {
    address: SocketAddr,
    go: Sender<()>,
}

impl Feeder {
    fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let (go, told) = channel();
        thread::spawn(move || {
            let (mut stream, sid) = accept(&listener).expect("a subscriber");
            let mut one = message_line(&sid).into_bytes();
            one.extend_from_slice(&[b'x'; PAYLOAD]);
            one.extend_from_slice(b"\r\n");
            let chunk = one.repeat(1000);
            for () in told {
                for _ in 0..MESSAGES / 1000 {
                    stream.write_all(&chunk).expect("a subscriber");
                }
            }
        });
        Ok(Self { address, go })
    }

    fn flood(&self) {
        self.go.send(()).expect("the feeder");
    }
}

/// The connection and the `sid` of its subscription.
fn accept(listener: &TcpListener) -> io::Result<(TcpStream, String)> {
    let (mut stream, _) = listener.accept()?;
    stream.write_all(
        b"INFO {\"server_id\":\"bench\",\"server_name\":\"bench\",\"version\":\"2.11.0\",\"proto\":1,\
          \"go\":\"go1.24\",\"host\":\"127.0.0.1\",\"port\":4222,\"headers\":true,\"max_payload\":1048576,\
          \"client_id\":1}\r\n",
    )?;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if line.starts_with("PING") {
            stream.write_all(b"PONG\r\n")?;
        } else if let Some(arguments) = line.strip_prefix("SUB ") {
            let sid = arguments.rsplit(' ').next().unwrap_or_default().to_owned();
            return Ok((stream, sid));
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn work() -> Work {
    Work { messages: MESSAGES, bytes: MESSAGES * (message_line("1").len() + PAYLOAD + 2) }
}

pub fn messages() -> io::Result<Group> {
    let cases = vec![ours()?, watermelon()?, async_nats()?];
    Ok(Group::new("`MSG`, 128 B, from a loopback socket, reads and all", None, cases))
}

fn subscribe(feeder: &Feeder) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(feeder.address)?;
    stream.write_all(b"CONNECT {}\r\nSUB sensors.> 1\r\n")?;
    Ok(stream)
}

fn ours() -> io::Result<Case> {
    let feeder = Feeder::start()?;
    let mut stream = subscribe(&feeder)?;
    let mut decoder = ServerDecoder::new(Limits::default());
    let mut buffer = vec![0; READ];
    let mut filled = 0;
    Ok(Case::new("lunix `ServerDecoder`", move || {
        feeder.flood();
        let mut messages = 0;
        while messages < MESSAGES {
            filled += stream.read(&mut buffer[filled..]).expect("the feeder");
            let mut rest = &buffer[..filled];
            while let Some((op, len)) = decoder.decode(rest).expect("a message") {
                messages += usize::from(matches!(black_box(op), ServerOp::Msg(_)));
                rest = &rest[len..];
            }
            let left = rest.len();
            buffer.copy_within(filled - left..filled, 0);
            filled = left;
        }
        work()
    }))
}

fn watermelon() -> io::Result<Case> {
    let feeder = Feeder::start()?;
    let mut stream = subscribe(&feeder)?;
    use watermelon_proto::proto::{ServerOp, StreamDecoder};
    let mut decoder = StreamDecoder::new();
    let mut buffer = vec![0; READ];
    Ok(Case::new("watermelon-proto `StreamDecoder`", move || {
        feeder.flood();
        let mut messages = 0;
        while messages < MESSAGES {
            let filled = stream.read(&mut buffer).expect("the feeder");
            decoder.read_buf().put_slice(&buffer[..filled]);
            while let Some(op) = decoder.decode().expect("a message") {
                messages += usize::from(matches!(black_box(op), ServerOp::Message { .. }));
            }
        }
        work()
    }))
}

fn async_nats() -> io::Result<Case> {
    let feeder = Feeder::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = feeder.address.to_string();
    let (client, mut subscription) = runtime.block_on(async {
        let options = async_nats::ConnectOptions::new().subscription_capacity(2 * MESSAGES);
        let client = options.connect(address).await.map_err(io::Error::other)?;
        let subscription = client.subscribe("sensors.>").await.map_err(io::Error::other)?;
        client.flush().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>((client, subscription))
    })?;
    Ok(Case::new("async-nats client, one thread (tasks and channels and all)", move || {
        feeder.flood();
        runtime.block_on(async {
            for _ in 0..MESSAGES {
                black_box(subscription.next().await.expect("a message"));
            }
        });
        black_box(&client);
        work()
    }))
}
