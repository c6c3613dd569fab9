//! HTTP, as much as there is before a WebSocket: the head of one request, and answers after which the connection ends.

use std::io;

use lunix_proto::ws::handshake::{self, Accept, Refusal};

use crate::stream::{self, Outbox, Stream};

/// The longest head of a request, and the most fields it has.
const MAX_HEAD: usize = 16 << 10;
const MAX_FIELDS: usize = 64;

/// What a request says.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    fields: Vec<(String, Vec<u8>)>,
}

impl Request {
    /// Reads the head of a request, behind which nothing may follow before it is answered.
    ///
    /// # Errors
    /// Which answer it gets; `None` if there is nobody to answer.
    pub(crate) async fn read(stream: &mut Stream) -> Result<Self, Option<Answer>> {
        let mut bytes = Vec::new();
        loop {
            if !matches!(stream::read(stream, &mut bytes).await, Ok(1..)) {
                return Err(None);
            }
            match Self::parse(&bytes) {
                Some(Ok((request, len))) if len == bytes.len() => return Ok(request),
                Some(Ok(_)) => return Err(Some(Answer::new(400, "nothing may follow the request"))),
                Some(Err(httparse::Error::TooManyHeaders)) => {
                    return Err(Some(Answer::new(431, "the request has too many fields")));
                }
                Some(Err(_)) => return Err(Some(Answer::new(400, "not HTTP"))),
                None if bytes.len() >= MAX_HEAD => {
                    return Err(Some(Answer::new(431, "the request is too long")));
                }
                None => {}
            }
        }
    }

    fn parse(bytes: &[u8]) -> Option<Result<(Self, usize), httparse::Error>> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let len = match request.parse(bytes) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return None,
            Err(error) => return Some(Err(error)),
        };
        let owned = Self {
            method: request.method.unwrap_or_default().to_owned(),
            path: request.path.unwrap_or_default().to_owned(),
            fields: request
                .headers
                .iter()
                .map(|field| (field.name.to_owned(), field.value.to_vec()))
                .collect(),
        };
        Some(Ok((owned, len)))
    }

    /// Whether it asks for anything but a page.
    pub(crate) fn is_upgrade(&self) -> bool {
        self.field("upgrade").is_some()
    }

    /// What it is answered if it is a good request for a WebSocket.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn accept(&self) -> Result<Accept, Answer> {
        let fields = self.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        handshake::check(&self.method, fields).map_err(|refusal| {
            let answer = Answer::new(refusal.status(), refusal);
            match refusal {
                Refusal::Upgrade | Refusal::Version => {
                    answer.with("Upgrade", "websocket").with("Sec-WebSocket-Version", handshake::VERSION)
                }
                Refusal::Method => answer.with("Allow", "GET, HEAD"),
                Refusal::Host | Refusal::Key => answer,
            }
        })
    }

    /// The value of a field, if it is text.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(&found.1).ok().map(str::trim)
    }

    /// The value of a cookie (RFC 6265, 5.4).
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.field("cookie")?.split(';');
        let value =
            cookies.filter_map(|pair| pair.trim().split_once('=')).find(|(found, _)| *found == name)?.1;
        Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
    }

    /// Whether somebody stands between, so that who is at the other end says nothing of who asks.
    pub(crate) fn is_forwarded(&self) -> bool {
        ["forwarded", "via", "x-forwarded-for", "x-real-ip"].iter().any(|name| self.field(name).is_some())
    }
}

/// An answer after which the connection ends.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    /// One line of text.
    pub(crate) fn new(status: u16, line: impl std::fmt::Display) -> Self {
        Self { status, fields: Vec::new(), body: format!("{line}\n").into_bytes() }
            .with("Content-Type", "text/plain; charset=utf-8")
    }

    /// A page of a media type.
    pub(crate) fn page(kind: &str, body: Vec<u8>) -> Self {
        Self { status: 200, fields: Vec::new(), body }.with("Content-Type", kind)
    }

    /// Nothing, for what was asked for is there already.
    pub(crate) fn unchanged() -> Self {
        Self { status: 304, fields: Vec::new(), body: Vec::new() }
    }

    /// With a further field.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// What it says in words.
    pub(crate) fn line(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end().to_owned()
    }

    /// Sends it, without its body to who asked for the head.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) async fn send(self, stream: &mut Stream, head: bool) -> io::Result<()> {
        use std::fmt::Write as _;
        let mut text = format!("HTTP/1.1 {} {}\r\nConnection: close\r\n", self.status, reason(self.status));
        for (name, value) in &self.fields {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("X-Content-Type-Options: nosniff\r\n");
        if self.status != 304 {
            let _ = write!(text, "Content-Length: {}\r\n", self.body.len());
        }
        text.push_str("\r\n");
        let mut outbox = Outbox::from(text.into_bytes());
        if !head {
            outbox.bytes.extend_from_slice(&self.body);
        }
        outbox.flush(stream).await
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        Request::parse(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn fields_and_cookies() {
        let found =
            request("GET /a?b HTTP/1.1\r\nHost: h\r\nCookie: a=1; user=ann; pass=\"x=y\"; user=eve\r\n\r\n");
        assert_eq!((found.method.as_str(), found.path.as_str()), ("GET", "/a?b"));
        assert_eq!(
            [found.cookie("user"), found.cookie("pass"), found.cookie("us")],
            [Some("ann"), Some("x=y"), None]
        );
        assert!(!found.is_forwarded() && !found.is_upgrade());
        assert!(request("GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n").is_forwarded());
    }

    #[test]
    fn refusals_name_what_is_expected() {
        let old = request(
            "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n",
        );
        let answer = old.accept().unwrap_err();
        assert_eq!(answer.status, 426);
        assert!(answer.fields.contains(&("Sec-WebSocket-Version", "13".to_owned())));
    }
}
