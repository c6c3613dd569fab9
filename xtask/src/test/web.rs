//! `cargo xtask vm --web`: the page of a board, as a browser on the host comes to it.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::gate::Run;
use super::image::{FIRST, MEMORY, Machine, PATIENCE, boot};
use crate::free_port::free_port;
use crate::image;
use crate::image::board::Board;
use crate::paths;

/// The first board, with natsws and the flash that this needs.
pub(super) fn check(run: &mut Run) -> Result<()> {
    let name = format!("{} --web: the page, and a toast in it", FIRST.name);
    let image = image::build(Board::of(FIRST.name, true)?)?;
    let port = free_port();
    let mut machine = boot(&image, MEMORY, Some(port))?;
    match page(port, &machine).and_then(|()| toast(port, &machine)).and_then(|()| memory(run, &mut machine)) {
        Ok(()) => run.pass(&name),
        Err(e) => {
            run.fail(&name, &format!("{e:#}"));
            machine.running.console().lines().for_each(|line| run.write(line));
        }
    }
    Ok(())
}

/// What the browser gets is what is in the source, as a page and with natsws's policy.
fn page(port: u16, machine: &Machine) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match state(machine)?.as_str() {
            "ready" => break,
            other => ensure!(Instant::now() < deadline, "natsws is {other}"),
        }
        thread::sleep(Duration::from_millis(100));
    }
    let (head, mut stream) = ask(port, "/", "Connection: close\r\n")?;
    let mut body = Vec::new();
    stream.read_to_end(&mut body)?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    for field in [
        "Content-Type: text/html; charset=utf-8\r\n",
        "Content-Security-Policy: default-src 'none'; script-src 'self'; ",
    ] {
        ensure!(head.contains(field), "no {field:?} in {head}");
    }
    let source = fs::read(paths::root().join("frontends/bridge/src/natsws/page/index.html"))?;
    ensure!(body == source, "the page is another one: {}", String::from_utf8_lossy(&body));
    Ok(())
}

fn state(machine: &Machine) -> Result<String> {
    let list = machine.ask("service.list")?;
    let natsws = list.as_array().into_iter().flatten().find(|service| service["name"] == "natsws");
    let natsws = natsws.with_context(|| format!("no natsws in {list}"))?;
    Ok(natsws["state"].as_str().unwrap_or_default().to_owned())
}

/// A toast that is published at the guest's server comes to a WebSocket of the page's origin.
fn toast(port: u16, machine: &Machine) -> Result<()> {
    let upgrade = format!(
        "Origin: http://127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    let (head, mut stream) = ask(port, "/", &upgrade)?;
    // RFC 6455, 1.3: what answers this key.
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    ensure!(head.starts_with("HTTP/1.1 101 ") && head.contains(accept), "{head}");
    // A frame of binary data, masked with zeros.
    let operations = b"CONNECT {\"verbose\":false}\r\nSUB toast.show 1\r\nPING\r\n";
    let length = u8::try_from(operations.len())?;
    stream.get_mut().write_all(&[&[0x82, 0x80 | length, 0, 0, 0, 0], operations.as_slice()].concat())?;
    let mut said = hear(&mut stream, b"PONG\r\n")?;
    ensure!(said.starts_with(b"INFO {"), "{}", String::from_utf8_lossy(&said));
    machine.running.client()?.request("toast.in", "seen in the page", PATIENCE)?.context("no natstoast")?;
    said = hear(&mut stream, b"}\r\n")?;
    let text = String::from_utf8_lossy(&said);
    let toast = text.split_once("\r\n").map_or("", |(_, payload)| payload);
    let toast: Value = serde_json::from_str(toast).with_context(|| format!("no toast in {text}"))?;
    ensure!(text.starts_with("MSG toast.show 1 ") && toast["summary"] == "seen in the page", "{text}");
    Ok(())
}

/// What natsws needs fits into the board's memory.
fn memory(run: &mut Run, machine: &mut Machine) -> Result<()> {
    let (least, most) = (machine.limit("web", "available")?, machine.limit("web", "natsws")?);
    let (available, resident) = (machine.available()?, machine.resident("natsws")?);
    let name = machine.board.name;
    run.note(&format!("{name} --web: {available} KiB available of {MEMORY} MB, at least {least}"));
    run.note(&format!("{name} --web: natsws has {resident} KiB of {most} resident"));
    ensure!(available >= least && resident <= most, "{available} KiB available, natsws has {resident} KiB");
    Ok(())
}

/// A request, and the head of its answer.
fn ask(port: u16, path: &str, fields: &str) -> Result<(String, BufReader<TcpStream>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{fields}\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(reader.read_line(&mut head)? > 0, "the answer ends after {head:?}");
    }
    Ok((head, reader))
}

/// What the server's frames say until there is `end`.
fn hear(stream: &mut impl BufRead, end: &[u8]) -> Result<Vec<u8>> {
    let mut said = Vec::new();
    while !said.ends_with(end) {
        let mut head = [0; 2];
        stream.read_exact(&mut head).with_context(|| format!("after {}", String::from_utf8_lossy(&said)))?;
        let length = match head {
            [0x82, length @ ..=125] => usize::from(length),
            [0x82, 126] => {
                let mut length = [0; 2];
                stream.read_exact(&mut length)?;
                usize::from(u16::from_be_bytes(length))
            }
            head => bail!("a frame that begins with {head:02x?}"),
        };
        let begin = said.len();
        said.resize(begin + length, 0);
        stream.read_exact(&mut said[begin..])?;
    }
    Ok(said)
}
