//! WebSockets as a browser has them.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use lunix_proto::ws::{Decoder, Event, Kind, Mask, Side, encode, handshake};

/// What is read at once.
const READ: usize = 256 << 10;

const KEY: [u8; 4] = [9, 8, 7, 6];

thread_local! {
    /// For all of them: thousands at a time do nothing.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

pub struct Web {
    stream: TcpStream,
    decoder: Decoder,
    /// The beginning of a frame's head.
    head: Vec<u8>,
    /// Payload, of which so much is taken.
    payload: Vec<u8>,
    taken: usize,
}

impl Web {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut request = [0; 256];
        let len = handshake::request(&mut request, &address.to_string(), "/", b"sixteen bytes...")
            .map_err(|_| io::Error::other("a long address"))?;
        stream.write_all(&request[..len])?;
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        let end = loop {
            if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut part)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => answer.extend_from_slice(&part[..read]),
            }
        };
        if !answer.starts_with(b"HTTP/1.1 101 ") {
            return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
        }
        let decoder = Decoder::new(Side::Server, u64::MAX);
        let mut web = Self { stream, decoder, head: Vec::new(), payload: Vec::new(), taken: 0 };
        web.unframe(&mut answer[end..])?;
        Ok(web)
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The payload of what comes next.
    pub fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.payload.len() {
            self.payload.clear();
            self.taken = 0;
            let read = BUFFER.with_borrow_mut(|buffer| {
                let start = self.head.len();
                let read = self.stream.read(&mut buffer[start..])?;
                buffer[..start].copy_from_slice(&self.head);
                self.unframe(&mut buffer[..start + read])?;
                Ok::<_, io::Error>(read)
            })?;
            if read == 0 {
                return Ok(0);
            }
        }
        let rest = &self.payload[self.taken..];
        let len = rest.len().min(out.len());
        out[..len].copy_from_slice(&rest[..len]);
        self.taken += len;
        Ok(len)
    }

    fn unframe(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let mut from = 0;
        while let Some((event, len)) = self.decoder.decode(&mut bytes[from..]).map_err(io::Error::other)? {
            match event {
                Event::Data { bytes, .. } => self.payload.extend_from_slice(bytes),
                Event::Ping(_) | Event::Pong(_) => {}
                Event::Close(close) => return Err(io::Error::other(format!("closed: {close:?}"))),
            }
            from += len;
        }
        self.head.clear();
        self.head.extend_from_slice(&bytes[from..]);
        Ok(())
    }
}

/// One frame, masked.
pub fn framed(operations: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 14];
    let len =
        encode::data(&mut frame, Kind::Binary, true, true, operations.len() as u64, Some(KEY)).unwrap_or(0);
    frame.truncate(len);
    frame.extend_from_slice(operations);
    Mask::new(KEY).apply(&mut frame[len..]);
    frame
}
