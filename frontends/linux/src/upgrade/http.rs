//! Fetching one file over HTTP/1.1, of a length that is known beforehand. No redirects, no TLS: images are signed.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest head of an answer.
const HEAD: usize = 8 << 10;

/// Fetches `url` into `out`, and nothing of more than `limit` bytes.
///
/// # Errors
/// What went wrong, in one line.
pub(super) fn fetch(url: &str, limit: u64, out: &mut impl io::Write) -> Result<u64, String> {
    let rest = url.strip_prefix("http://").ok_or("expected http://HOST[:PORT]/PATH")?;
    let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
    if host.is_empty() || host.contains('@') || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("expected http://HOST[:PORT]/PATH".to_owned());
    }
    let port_given =
        host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let address = if port_given { host.to_owned() } else { format!("{host}:80") };
    let mut stream = connect(&address).map_err(|error| format!("{address}: {error}"))?;
    let request = format!(
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lunix/{}\r\nAccept-Encoding: identity\r\n\
         Connection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let (body, len) = loop {
        let mut piece = [0; 2048];
        let read = stream.read(&mut piece).map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the server closed the connection before it answered".to_owned());
        }
        bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
        if let Some(head) = head(&bytes)? {
            break head;
        }
        if bytes.len() > HEAD {
            return Err("the answer's head has more than 8 KiB".to_owned());
        }
    };
    if len > limit {
        return Err(format!("{len} bytes, and a slot has room for {limit}"));
    }
    let first = bytes.get(body..).unwrap_or_default();
    let first = first.get(..usize::try_from(len).unwrap_or(usize::MAX)).unwrap_or(first);
    out.write_all(first).map_err(|error| error.to_string())?;
    let left = len - first.len() as u64;
    let copied = io::copy(&mut stream.take(left), out).map_err(|error| error.to_string())?;
    if copied != left {
        return Err(format!("the connection broke after {} of {len} bytes", first.len() as u64 + copied));
    }
    Ok(len)
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::NotFound.into();
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Where the body begins, and its length; `None` if there is more of the head to come.
fn head(bytes: &[u8]) -> Result<Option<(usize, u64)>, String> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut fields);
    let body = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(body)) => body,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("no HTTP: {error}")),
    };
    if let Some(code) = answer.code.filter(|code| *code != 200) {
        return Err(format!("the server answered {code}, expected 200"));
    }
    let field = |name: &str| {
        answer.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    };
    if field("Transfer-Encoding").is_some() || field("Content-Encoding").is_some() {
        return Err("the server sends it in an encoding, expected the bytes themselves".to_owned());
    }
    let len = field("Content-Length")
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|text| text.trim().parse().ok());
    len.map(|len| Some((body, len))).ok_or_else(|| "the server did not say how long it is".to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answered(answer: &'static [u8], cut: usize) -> Result<Vec<u8>, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            let _ = stream.write_all(&answer[..cut]);
            let _ = stream.flush();
            let _ = stream.write_all(&answer[cut..]);
        });
        let mut out = Vec::new();
        let result = fetch(&format!("http://{address}/image"), 10, &mut out);
        server.join().unwrap();
        result.map(|_| out)
    }

    #[test]
    fn answers_split_anywhere() {
        let answer = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\nhello";
        for cut in 0..answer.len() {
            assert_eq!(answered(answer, cut).unwrap(), b"hello");
        }
    }

    #[test]
    fn what_is_refused() {
        let cases: [(&[u8], &str); 6] = [
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", "room for 10"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "broke after 5 of 10"),
            (b"HTTP/1.1 200 OK\r\n\r\nhello", "how long"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello", "encoding"),
            (b"SSH-2.0-OpenSSH\r\n", "no HTTP"),
        ];
        for (answer, expected) in cases {
            let error = answered(answer, 3).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        for url in ["https://a/b", "http://", "http://a@b/", "http://a/b c"] {
            assert!(fetch(url, 10, &mut Vec::new()).is_err());
        }
    }
}
