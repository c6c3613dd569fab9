//! What guests in QEMU fetch from this machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;

use anyhow::Result;

/// Serves `bytes` over HTTP to whoever asks, until this process ends. Where, as seen behind QEMU's user network.
pub(super) fn offer(bytes: Vec<u8>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || while serve(&listener, &bytes).is_ok() {});
    Ok(format!("http://10.0.2.2:{port}/lunix.img"))
}

/// Answers one request.
fn serve(listener: &TcpListener, bytes: &[u8]) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    let mut head = BufReader::new(stream.try_clone()?).lines();
    while head.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len())?;
    Ok(stream.write_all(bytes)?)
}
