//! Where a server is: `nats://[USER[:PASSWORD]@]HOST[:PORT]`, `tls://…` likewise, or `unix:///PATH`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::escaped::Escaped;

/// The port of NATS.
const PORT: u16 = 4222;

/// One server, as its URL says.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    pub(super) place: Place,
    /// The connection must be encrypted, whatever the server says.
    pub(super) tls: bool,
    /// Whose name its certificate must bear, where it is known by its address alone.
    name: Option<String>,
    /// User and password, or a token if there is no password.
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address that needs no look-up.
    Address(IpAddr, u16),
    /// A name that must be looked up.
    Name(String, u16),
    /// A UNIX socket; a path that begins with `@` is in the abstract name space.
    Path(PathBuf),
}

/// What is wrong with a URL, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    url: String,
    why: &'static str,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}': {}", Escaped(&self.url), self.why)
    }
}

impl std::error::Error for UrlError {}

impl fmt::Display for Server {
    /// The URL without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "tls" } else { "nats" };
        match &self.place {
            Place::Address(address @ IpAddr::V4(_), port) => write!(f, "{scheme}://{address}:{port}"),
            Place::Address(address @ IpAddr::V6(_), port) => write!(f, "{scheme}://[{address}]:{port}"),
            Place::Name(name, port) => write!(f, "{scheme}://{name}:{port}"),
            Place::Path(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl Server {
    /// A server that this one tells of, `HOST:PORT`: of the same cluster, so that the same credentials are good there.
    pub(super) fn told_of(&self, url: &str) -> Option<Self> {
        let place = parse_place(url).ok()?;
        let name = Some(self.certified());
        (!matches!(self.place, Place::Path(_))).then(|| Self { place, name, ..self.clone() })
    }

    /// Where to connect to.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the connection must be encrypted, whatever the server says.
    pub fn is_encrypted(&self) -> bool {
        self.tls
    }

    /// User and password of the URL, or a token if there is no password.
    pub fn login(&self) -> (Option<&str>, Option<&str>) {
        (self.user.as_deref(), self.password.as_deref())
    }

    /// Whose name its certificate must bear.
    pub fn certified(&self) -> String {
        match &self.place {
            Place::Address(address, _) => self.name.clone().unwrap_or_else(|| address.to_string()),
            Place::Name(name, _) => name.clone(),
            Place::Path(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A list separated by commas.
pub(super) fn parse_list(urls: &str) -> Result<Vec<Server>, UrlError> {
    let servers: Vec<Server> =
        urls.split(',').map(str::trim).filter(|url| !url.is_empty()).map(parse).collect::<Result<_, _>>()?;
    if servers.is_empty() {
        return Err(UrlError { url: urls.to_owned(), why: "expected a URL" });
    }
    Ok(servers)
}

fn parse(url: &str) -> Result<Server, UrlError> {
    // Secrets do not belong into error lines.
    let wrong = |why| UrlError {
        url: match (url.find("://"), url.rfind('@')) {
            (Some(scheme), Some(at)) if scheme < at => format!("{}://…{}", &url[..scheme], &url[at..]),
            _ => url.to_owned(),
        },
        why,
    };
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("nats", url),
    };
    match scheme {
        "unix" => {
            if !rest.starts_with('/') && !rest.starts_with('@') || rest.len() < 2 {
                return Err(wrong("expected unix:///PATH"));
            }
            // sun_path holds 108 bytes with its terminator.
            if rest.len() > 107 {
                return Err(wrong("the path is longer than 107 bytes"));
            }
            let place = Place::Path(PathBuf::from(rest));
            Ok(Server { place, tls: false, name: None, user: None, password: None })
        }
        "nats" | "tcp" | "tls" => {
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            let (credentials, place) = match rest.rsplit_once('@') {
                Some((credentials, place)) => (Some(credentials), place),
                None => (None, rest),
            };
            let (user, password) = match credentials.map(|text| text.split_once(':').unwrap_or((text, ""))) {
                None | Some(("", _)) => (None, None),
                Some((user, "")) => (Some(user), None),
                Some((user, password)) => (Some(user), Some(password)),
            };
            let decode = |text: Option<&str>| text.map(decode_percent).transpose();
            Ok(Server {
                place: parse_place(place).map_err(wrong)?,
                tls: scheme == "tls",
                name: None,
                user: decode(user).map_err(wrong)?,
                password: decode(password).map_err(wrong)?,
            })
        }
        "ws" | "wss" => Err(wrong("WebSocket is not in this build")),
        _ => Err(wrong("expected nats://HOST:PORT, tls://HOST:PORT or unix:///PATH")),
    }
}

fn parse_place(text: &str) -> Result<Place, &'static str> {
    const EXPECTED_PORT: &str = "expected a port from 1 to 65535";
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("expected ']' after the IPv6 address")?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(EXPECTED_PORT),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = match port {
        None => PORT,
        Some(port) => port.parse().ok().filter(|&port| port != 0).ok_or(EXPECTED_PORT)?,
    };
    if let Ok(address) = host.parse() {
        return Ok(Place::Address(address, port));
    }
    if text.starts_with('[') {
        return Err("expected an IPv6 address in []");
    }
    if host == "localhost" {
        return Ok(Place::Address(std::net::Ipv4Addr::LOCALHOST.into(), port));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
        return Err("expected a host name or address");
    }
    Ok(Place::Name(host.to_owned(), port))
}

fn decode_percent(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "expected two hexadecimal digits after '%'";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let [high, low, tail @ ..] = rest else { return Err(WRONG) };
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(WRONG);
        bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).map_err(|_| WRONG)?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| "expected UTF-8 in user and password")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_people_write_them() {
        for (url, shown) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
            ("127.0.0.1", "nats://127.0.0.1:4222"),
            ("localhost:1", "nats://127.0.0.1:1"),
            ("nats://[::1]:5", "nats://[::1]:5"),
            ("nats://[::1]", "nats://[::1]:4222"),
            ("tcp://box.lan/", "nats://box.lan:4222"),
            ("tls://box.lan", "tls://box.lan:4222"),
            ("unix:///run/natsd.sock", "unix:///run/natsd.sock"),
            ("unix://@natsd", "unix://@natsd"),
            ("nats://me:secret@host:9", "nats://host:9"),
        ] {
            assert_eq!(parse(url).map(|server| server.to_string()).as_deref(), Ok(shown), "{url}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let server = parse("nats://me:p%40ss:word@host").unwrap();
        assert_eq!(server.user.as_deref(), Some("me"));
        assert_eq!(server.password.as_deref(), Some("p@ss:word"));
        assert!(!format!("{server:?}").contains("word"));
        let token = parse("nats://s3cr3t@host").unwrap();
        assert_eq!((token.user.as_deref(), token.password.as_deref()), (Some("s3cr3t"), None));
        let error = parse("nats://me:secret@host:0").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn servers_of_a_cluster_are_as_the_one_that_tells_of_them() {
        let server = parse("tls://me:secret@box.lan:1").unwrap();
        let other = server.told_of("10.0.0.2:4222").unwrap();
        assert_eq!(other.to_string(), "tls://10.0.0.2:4222");
        assert_eq!((other.certified().as_str(), other.password.as_deref()), ("box.lan", Some("secret")));
        assert_eq!(server.told_of("other.lan:2").unwrap().certified(), "other.lan");
        assert!(server.told_of("[::").is_none());
        assert!(parse("unix:///a").unwrap().told_of("10.0.0.2:4222").is_none());
    }

    #[test]
    fn malformed_urls_say_what_was_expected() {
        for url in [
            "http://x",
            "nats://",
            "nats://a b",
            "nats://h:70000",
            "nats://h:0",
            "nats://[::1",
            "nats://[x]:1",
            "nats://[::1]x",
            "unix://relative",
            "unix://",
            "nats://a%zz@h",
            "tls://",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
        assert!(parse(&format!("unix:///{}", "x".repeat(200))).is_err());
        assert!(parse_list(" , ").is_err());
        assert_eq!(parse_list("127.0.0.1, unix:///a").unwrap().len(), 2);
    }
}
