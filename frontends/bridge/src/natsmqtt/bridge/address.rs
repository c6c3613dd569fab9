//! Where a broker is: `mqtt://HOST[:PORT]` or `mqtts://HOST[:PORT]`.

use std::fmt;

/// A broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// A name or an address, of IPv6 without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

/// What one looks like, for messages.
pub(super) const ADDRESS: &str = "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]";

impl Address {
    /// Without a scheme it is `mqtt`, as mosquitto's addresses are.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("mqtt" | "tcp", rest)) => (false, rest),
            Some(("mqtts" | "ssl" | "tls", rest)) => (true, rest),
            Some(_) => return None,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
            return None;
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None => [1883, 8883][usize::from(tls)],
        };
        Some(Self { host: host.to_owned(), port, tls })
    }

    /// What a site is called that has not said its name.
    pub(super) fn site(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}", if self.tls { "mqtts" } else { "mqtt" }, self.site())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_them() {
        for (text, shown) in [
            ("mqtt://broker.lan", "mqtt://broker.lan:1883"),
            ("broker.lan:1884", "mqtt://broker.lan:1884"),
            ("mqtts://a1b2.iot.example/", "mqtts://a1b2.iot.example:8883"),
            ("mqtts://[::1]:9", "mqtts://[::1]:9"),
            ("[::1]", "mqtt://[::1]:1883"),
            ("10.0.0.1", "mqtt://10.0.0.1:1883"),
        ] {
            assert_eq!(Address::parse(text).map(|address| address.to_string()).as_deref(), Some(shown));
        }
        for bad in ["", "http://a", "mqtt://", "a:0", "a:70000", "[x]", "[::1]x", "u@h", "a b", "mqtt://a/b"]
        {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }
}
