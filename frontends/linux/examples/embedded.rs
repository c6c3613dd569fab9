//! A program with its own NATS server: `cargo run -p lunix --example embedded`.
//!
//! Any NATS client connects to the URL that it prints; here two sockets stand in for them.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use lunix::natsd::Server;

fn main() -> io::Result<()> {
    // The command line of natsd; `-c FILE` brings users, limits, leaf nodes and all else.
    let server = Server::start(["-p", "-1", "--socket", "none", "-l", "/dev/null"])?;
    println!("serving at {}", server.client_url());

    let mut listener = TcpStream::connect(server.address())?;
    listener.write_all(b"CONNECT {\"verbose\":false}\r\nSUB news.> 1\r\nPING\r\n")?;
    let mut heard = BufReader::new(listener).lines();
    // INFO, and the PONG that says that the subscription is there.
    for line in heard.by_ref().take(2) {
        println!("listener hears: {:.60}", line?);
    }

    let mut speaker = TcpStream::connect(server.address())?;
    speaker.write_all(b"CONNECT {\"verbose\":false}\r\nPUB news.today 13\r\nhello, lunix!\r\n")?;
    for line in heard.take(2) {
        println!("listener hears: {}", line?);
    }
    server.shutdown()
}
