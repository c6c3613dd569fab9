//! HTTP/1.1 for a few readers, with TLS or without: GET and HEAD, one request after the other.
//!
//! A connection holds at most [`HEAD`] bytes of a request and about [`PIECE`] bytes of an answer: a long report is written
//! piece by piece, as fast as it is taken. Who is slow to ask or to take loses the connection.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use lunix_core::time::Instant;
use rustix::io::Errno;

use super::super::server::Token;
use super::super::tls::Acceptor;
use super::super::transport::{Read, Transport};
use super::Source;
use super::json::{State, Text};
use super::pages::{self, Page, Refusal};
use super::query::Target;
use super::report::Report;
use super::times::HttpDate;
use super::view::{Books, View};
use crate::reactor::{Key, Reactor, Ready};

/// The longest head of a request.
const HEAD: usize = 8 << 10;
/// Header fields of a request.
const FIELDS: usize = 64;
/// How much of an answer is made at once.
const PIECE: usize = 32 << 10;
/// Connections at the same time.
const VISITS: usize = 64;
/// How long a head may take to come, and an answer's piece to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may be silent between two requests.
const IDLE: Duration = Duration::from_secs(60);

/// Where readers come in.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    /// The TLS that they speak.
    acceptor: Option<Acceptor>,
    base: String,
    visits: Vec<Option<Visit>>,
    /// Not after any visit's end.
    deadline: Option<Instant>,
}

/// A reader's connection.
#[derive(Debug)]
struct Visit {
    transport: Transport,
    key: Key,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    /// What the rest of the answer comes from.
    report: Option<Report>,
    chunked: bool,
    /// The connection ends with this answer.
    last: bool,
    /// When it ends if nothing happens.
    until: Instant,
}

/// What a visit needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Read,
    Write,
    /// Its turn is over, but it could go on.
    Again,
    End,
}

impl Door {
    pub(super) fn new(listener: TcpListener, acceptor: Option<Acceptor>, base: String) -> Self {
        Self { listener, acceptor, base, visits: Vec::new(), deadline: None }
    }

    /// For visits to come.
    pub(super) fn renew(&mut self, acceptor: Option<Acceptor>) {
        self.acceptor = acceptor;
    }

    pub(super) fn register(&self, reactor: &mut Reactor<Token>) -> io::Result<()> {
        reactor.add(&self.listener, Token::Monitor(Source::Listener), Ready::READ).map(drop)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn note(&mut self, until: Instant) {
        self.deadline = Some(self.deadline.map_or(until, |at| at.min(until)));
    }

    /// Takes all connections that wait.
    pub(super) fn accept(&mut self, reactor: &mut Reactor<Token>, key: Key) {
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => self.open(reactor, socket),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // Without descriptors they wait until the next one comes.
                Err(_) => return reactor.read_blocked(key),
            }
        }
    }

    fn open(&mut self, reactor: &mut Reactor<Token>, mut socket: std::net::TcpStream) {
        if socket.set_nonblocking(true).is_err() || socket.set_nodelay(true).is_err() {
            return;
        }
        let index = self.visits.iter().position(Option::is_none).unwrap_or(self.visits.len());
        if index >= VISITS {
            if self.acceptor.is_some() {
                return;
            }
            let _ = socket.write_all(
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
            return;
        }
        let socket = OwnedFd::from(socket);
        let transport = match &self.acceptor {
            Some(acceptor) => Transport::Tls(Box::new(acceptor.accept(socket, reactor.now()))),
            None => Transport::Plain(socket),
        };
        // The index is less than `VISITS`.
        let Ok(key) = reactor.add(&transport, Token::Monitor(Source::Visit(index as u32)), Ready::READ)
        else {
            return;
        };
        let until = reactor.now() + PATIENCE;
        let visit = Visit {
            transport,
            key,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            report: None,
            chunked: false,
            last: false,
            until,
        };
        match self.visits.get_mut(index) {
            Some(place) => *place = Some(visit),
            None => self.visits.push(Some(visit)),
        }
        self.note(until);
    }

    pub(super) fn ready(
        &mut self,
        reactor: &mut Reactor<Token>,
        index: u32,
        view: &mut View<'_>,
        books: &mut Books,
    ) {
        let Some(Some(visit)) = self.visits.get_mut(index as usize) else { return };
        let next = visit.go_on(reactor, &self.base, view, books);
        let until = visit.until;
        match next {
            Next::Read => reactor.want(visit.key, Ready::READ),
            Next::Write | Next::Again => reactor.want(visit.key, Ready::WRITE),
            Next::End => return self.end(reactor, index as usize),
        }
        self.note(until);
    }

    /// Ends those whose time is over.
    pub(super) fn tick(&mut self, reactor: &mut Reactor<Token>) {
        let now = reactor.now();
        self.deadline = None;
        for index in 0..self.visits.len() {
            match self.visits.get(index) {
                Some(Some(visit)) if visit.until <= now => self.end(reactor, index),
                Some(Some(visit)) => self.note(visit.until),
                _ => {}
            }
        }
    }

    fn end(&mut self, reactor: &mut Reactor<Token>, index: usize) {
        let Some(mut visit) = self.visits.get_mut(index).and_then(Option::take) else { return };
        visit.transport.close();
        // Unread bytes would make the kernel reset the connection, and the last words be lost.
        let mut bytes = [0; 4096];
        for _ in 0..16 {
            if !matches!(rustix::io::read(&visit.transport, &mut bytes), Ok(1..)) {
                break;
            }
        }
        reactor.remove(visit.key, &visit.transport);
        while self.visits.pop_if(|visit| visit.is_none()).is_some() {}
    }
}

impl Visit {
    fn go_on(
        &mut self,
        reactor: &mut Reactor<Token>,
        base: &str,
        view: &mut View<'_>,
        books: &mut Books,
    ) -> Next {
        loop {
            match self.write(reactor) {
                None => {}
                Some(next) => return next,
            }
            if self.report.is_some() {
                self.piece(view, books);
                return Next::Again;
            }
            if self.last {
                return Next::End;
            }
            if let Some(next) = self.request(base, view, books) {
                return next;
            }
            if self.output.is_empty() && self.read(reactor) != Some(()) {
                return if self.last { Next::End } else { Next::Read };
            }
        }
    }

    /// Writes what there is; `None` if all of it is written.
    fn write(&mut self, reactor: &mut Reactor<Token>) -> Option<Next> {
        while let Some(waiting) = self.output.get(self.written..).filter(|waiting| !waiting.is_empty()) {
            match self.transport.write(waiting) {
                Ok(taken) => {
                    self.written += taken;
                    self.until = reactor.now() + PATIENCE;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    reactor.write_blocked(self.key);
                    return Some(Next::Write);
                }
                Err(_) => return Some(Next::End),
            }
        }
        match self.transport.flush() {
            Ok(true) => {}
            Ok(false) => {
                reactor.write_blocked(self.key);
                return Some(Next::Write);
            }
            Err(_) => return Some(Next::End),
        }
        if !self.output.is_empty() {
            self.output = Vec::new();
            self.written = 0;
            self.until = reactor.now() + if self.input.is_empty() { IDLE } else { PATIENCE };
        }
        None
    }

    /// Reads once; `None` if there is nothing now, or (then it is the last) never again.
    fn read(&mut self, reactor: &mut Reactor<Token>) -> Option<()> {
        let had = self.input.len();
        self.input.reserve(2048);
        match self.transport.read(&mut self.input) {
            Read::End => {
                self.last = true;
                None
            }
            Read::Bytes(_) => {
                if had == 0 && !self.input.is_empty() {
                    self.until = reactor.now() + PATIENCE;
                }
                Some(())
            }
            Read::Blocked => {
                reactor.read_blocked(self.key);
                None
            }
        }
    }

    /// Answers the request that has come, if it is whole.
    fn request(&mut self, base: &str, view: &mut View<'_>, books: &mut Books) -> Option<Next> {
        if self.input.is_empty() {
            return None;
        }
        let input = std::mem::take(&mut self.input);
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&input) {
            Ok(httparse::Status::Complete(len)) => {
                self.answer(&request, base, view, books);
                self.input = input.get(len..).unwrap_or_default().to_vec();
                Some(Next::Again)
            }
            Ok(httparse::Status::Partial) if input.len() < HEAD => {
                self.input = input;
                None
            }
            Ok(httparse::Status::Partial) => {
                self.refuse("431 Request Header Fields Too Large", "the request is too long");
                Some(Next::Again)
            }
            Err(error) => {
                self.refuse("400 Bad Request", &error.to_string());
                Some(Next::Again)
            }
        }
    }

    fn answer(
        &mut self,
        request: &httparse::Request<'_, '_>,
        base: &str,
        view: &mut View<'_>,
        books: &mut Books,
    ) {
        let field = |name: &str| {
            let found = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            found.map_or(&b""[..], |field| field.value)
        };
        let old = request.version == Some(0);
        self.last = old || field("connection").eq_ignore_ascii_case(b"close");
        // Nobody has a reason to send a body, and who does so may mean to hide another request in it.
        if !field("transfer-encoding").is_empty() || !matches!(field("content-length"), b"" | b"0") {
            return self.refuse("400 Bad Request", "a request with a body");
        }
        let bodiless = match request.method {
            Some("GET") => false,
            Some("HEAD") => true,
            _ => return self.refuse("405 Method Not Allowed", "only GET and HEAD"),
        };
        let page = pages::page(Target::new(request.path.unwrap_or("")), base);
        if let Ok((index, _)) = &page
            && let Some(count) = books.requests.get_mut(*index)
        {
            *count += 1;
        }
        const TEXT: &str = "text/plain; charset=utf-8";
        match page {
            Err(Refusal::NotFound) => self.short("404 Not Found", TEXT, b"404 page not found\n", bodiless),
            Err(Refusal::Wrong(text)) => self.short("400 Bad Request", TEXT, text.as_bytes(), bodiless),
            Ok((_, Page::Root)) => {
                self.short("200 OK", "text/html; charset=utf-8", pages::root(base).as_bytes(), bodiless);
            }
            Ok((_, Page::Healthz)) => self.short("200 OK", JSON, b"{\"status\":\"ok\"}", bodiless),
            Ok((_, Page::Report(wish))) => match Report::new(wish, State::new(true), view, books) {
                Ok(report) => self.report(report, view, books, old, bodiless),
                Err(text) => self.short("400 Bad Request", TEXT, text.as_bytes(), bodiless),
            },
        }
    }

    /// Answers with what is wrong, and ends the connection.
    fn refuse(&mut self, status: &str, text: &str) {
        self.last = true;
        self.short(status, "text/plain; charset=utf-8", text.as_bytes(), false);
    }

    fn short(&mut self, status: &str, kind: &str, body: &[u8], bodiless: bool) {
        self.head(status, kind, Some(body.len()));
        if !bodiless {
            self.output.extend_from_slice(body);
        }
    }

    fn head(&mut self, status: &str, kind: &str, len: Option<usize>) {
        let date = HttpDate(SystemTime::now());
        let mut out = Text(&mut self.output);
        // Writing into memory does not fail.
        let _ = write!(out, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nDate: {date}\r\n");
        let _ = out.write_str(if kind == JSON { "Access-Control-Allow-Origin: *\r\n" } else { "" });
        let _ = match (len, self.chunked) {
            (Some(len), _) => write!(out, "Content-Length: {len}\r\n"),
            (None, true) => out.write_str("Transfer-Encoding: chunked\r\n"),
            (None, false) => Ok(()),
        };
        let _ = out.write_str(if self.last { "Connection: close\r\n\r\n" } else { "\r\n" });
    }

    fn report(
        &mut self,
        mut report: Report,
        view: &mut View<'_>,
        books: &mut Books,
        old: bool,
        bodiless: bool,
    ) {
        let mut first = Vec::new();
        let more = report.piece(view, books, &mut first, PIECE);
        self.chunked = more && !old;
        self.head("200 OK", JSON, (!more).then_some(first.len()));
        if bodiless {
            return;
        }
        if more {
            self.report = Some(report);
        }
        self.chunk(|out| out.append(&mut first));
    }

    /// Makes the next piece of a long answer.
    fn piece(&mut self, view: &mut View<'_>, books: &mut Books) {
        let Some(mut report) = self.report.take() else { return };
        let mut more = false;
        self.chunk(|out| more = report.piece(view, books, out, PIECE));
        if more {
            self.report = Some(report);
        } else if std::mem::take(&mut self.chunked) {
            self.output.extend_from_slice(b"0\r\n\r\n");
        }
    }

    /// Puts what `fill` writes into a chunk, if the answer has such.
    fn chunk(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        if !self.chunked {
            return fill(&mut self.output);
        }
        const SIZE: usize = 8;
        let begin = self.output.len();
        self.output.extend_from_slice(b"00000000\r\n");
        let body = self.output.len();
        fill(&mut self.output);
        let len = self.output.len() - body;
        if len == 0 {
            // An empty chunk would be the last one.
            return self.output.truncate(begin);
        }
        if let Some(place) = self.output.get_mut(begin..begin + SIZE) {
            place.copy_from_slice(format!("{len:08x}").as_bytes());
        }
        self.output.extend_from_slice(b"\r\n");
    }
}

const JSON: &str = "application/json";
