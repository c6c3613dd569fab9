//! Sends back every message, in pieces of no more than its buffer: `ws-echo [ADDR:PORT]`.
//!
//! What the Autobahn test suite is pointed at.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use lunix_proto::Full;
use lunix_proto::ws::{Close, CloseCode, Decoder, Event, MAX_UNDECODED, Side, encode, handshake};

/// Autobahn's longest message.
const MAX_MESSAGE: u64 = 16 << 20;
const BUFFER: usize = 64 << 10;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            if let Err(error) = serve(stream) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER];
    let mut bytes = open(&mut stream, &mut buffer)?;
    let mut echo = Echo::default();
    loop {
        let consumed = echo.take(&mut buffer[bytes.clone()]).map_err(std::io::Error::other)?;
        stream.write_all(&echo.out)?;
        echo.out.clear();
        if echo.closing {
            stream.shutdown(Shutdown::Write)?;
            // What still comes is read, or the kernel would throw away with it what was just said.
            while stream.read(&mut buffer)? > 0 {}
            return Ok(());
        }
        buffer.copy_within(bytes.start + consumed..bytes.end, 0);
        bytes = 0..bytes.len() - consumed;
        let len = stream.read(&mut buffer[bytes.end..])?;
        if len == 0 {
            return Ok(());
        }
        bytes.end += len;
    }
}

struct Echo {
    decoder: Decoder,
    /// The next piece begins a message.
    first: bool,
    out: Vec<u8>,
    closing: bool,
}

impl Default for Echo {
    fn default() -> Self {
        Self {
            decoder: Decoder::new(Side::Client, MAX_MESSAGE),
            first: true,
            out: Vec::new(),
            closing: false,
        }
    }
}

impl Echo {
    /// Answers what is there, and says how many bytes of it need not come again.
    fn take(&mut self, bytes: &mut [u8]) -> Result<usize, Full> {
        let mut room = [0; MAX_UNDECODED];
        let mut consumed = 0;
        while !self.closing {
            let (event, len) = match self.decoder.decode(&mut bytes[consumed..]) {
                Ok(None) => break,
                Ok(Some(found)) => found,
                Err(error) => {
                    let len = encode::close(&mut room, error.close_code(), error.reason(), None)?;
                    self.out.extend_from_slice(&room[..len]);
                    self.closing = true;
                    break;
                }
            };
            let (head, payload) = match event {
                Event::Data { kind, bytes, last } => {
                    let first = std::mem::replace(&mut self.first, last);
                    (encode::data(&mut room, kind, first, last, bytes.len() as u64, None)?, bytes)
                }
                Event::Ping(payload) => (encode::pong(&mut room, payload, None)?, &[][..]),
                Event::Pong(_) => (0, &[][..]),
                Event::Close(close) => {
                    self.closing = true;
                    // None came, none is said.
                    let code = close.map_or(CloseCode(1005), |Close { code, .. }| code);
                    (encode::close(&mut room, code, "", None)?, &[][..])
                }
            };
            self.out.extend_from_slice(&room[..head]);
            self.out.extend_from_slice(payload);
            consumed += len;
        }
        Ok(consumed)
    }
}

/// The handshake; says where in the buffer is what came after it.
fn open(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<std::ops::Range<usize>> {
    let mut end = 0;
    loop {
        let len = stream.read(&mut buffer[end..])?;
        if len == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        end += len;
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut fields);
        let parsed =
            request.parse(&buffer[..end]).map_err(|error| std::io::Error::other(error.to_string()))?;
        let httparse::Status::Complete(start) = parsed else { continue };
        let fields = request.headers.iter().map(|field| (field.name, field.value));
        let accept =
            handshake::check(request.method.unwrap_or_default(), fields).map_err(std::io::Error::other)?;
        let mut response = [0; 160];
        let len = handshake::response(&mut response, &accept).map_err(std::io::Error::other)?;
        stream.write_all(&response[..len])?;
        return Ok(start..end);
    }
}
