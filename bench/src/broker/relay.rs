//! The least that moves bytes from one connection to others: what a message broker is held against.

use std::io::{self, Read, Write};
use std::net::TcpListener;

/// What a broker reads at once.
const READ: usize = 256 << 10;

/// Copies what those who say `P` send to the one who said `S`, pair after pair, until it is killed.
pub fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut buffer = vec![0; READ];
    let mut sink = None;
    loop {
        let (mut stream, _) = listener.accept()?;
        let mut role = [0];
        if stream.read_exact(&mut role).is_err() || stream.write_all(b".").is_err() {
            continue;
        }
        if role == *b"S" {
            sink = Some(stream);
            continue;
        }
        let Some(mut sink) = sink.take() else { continue };
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            if sink.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
    }
}
