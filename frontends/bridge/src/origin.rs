//! Which pages may connect.
//!
//! Any page that a browser has open may try to connect to any address, the loopback one included; what tells it from our
//! own is the `Origin` that the browser adds (RFC 6455, 10.2). Who sends none is no browser.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether a page of `origin` may connect to the listener, which the request calls `host`.
///
/// The origins that are named may, and that of the listener itself. As the latter counts only a host that is an address
/// or `localhost`: a name that an attacker's DNS first gives for a page and then for the loopback address ("rebinding")
/// would make that page one of ours.
pub(crate) fn may_connect(named: &[String], secure: bool, host: &str, origin: Option<&str>) -> bool {
    let Some(origin) = origin else { return true };
    if named.iter().any(|named| named.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let scheme = if secure { "https" } else { "http" };
    let Some((found, authority)) = origin.split_once("://") else { return false };
    let default = if secure { ":443" } else { ":80" };
    let plain = |authority: &str| authority.strip_suffix(default).unwrap_or(authority).to_ascii_lowercase();
    found.eq_ignore_ascii_case(scheme) && plain(authority) == plain(host) && is_unmistakable(host)
}

/// Whether no name server has a say in where `host`, which may have a port, is.
fn is_unmistakable(host: &str) -> bool {
    if let Some((address, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok() && (rest.is_empty() || rest.starts_with(':'));
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<Ipv4Addr>().is_ok()
}

/// Whether a text is an origin as browsers send it (RFC 6454, 6.1): scheme and host, a port where it is not the
/// scheme's own, and no path.
pub(crate) fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    matches!(scheme, "http" | "https")
        && !authority.is_empty()
        && authority.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\\"".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_origin_and_those_that_are_named() {
        let named = ["https://lunix.example".to_owned()];
        for (host, origin, may) in [
            ("localhost:8080", None, true),
            ("localhost:8080", Some("http://localhost:8080"), true),
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080"), true),
            ("[::1]:8080", Some("http://[::1]:8080"), true),
            ("127.0.0.1", Some("http://127.0.0.1:80"), true),
            ("lunix.example", Some("https://lunix.example"), true),
            ("localhost:8080", Some("http://localhost:8081"), false),
            ("localhost:8080", Some("https://localhost:8080"), false),
            ("localhost:8080", Some("http://evil.example"), false),
            ("localhost:8080", Some("null"), false),
            // A name that was made to point here.
            ("evil.example:8080", Some("http://evil.example:8080"), false),
            ("127.0.0.1.evil.example:8080", Some("http://127.0.0.1.evil.example:8080"), false),
            ("localhost.evil.example", Some("http://localhost.evil.example"), false),
        ] {
            assert_eq!(may_connect(&named, false, host, origin), may, "{host} {origin:?}");
        }
        assert!(may_connect(&[], true, "[::1]", Some("https://[::1]")));
    }

    #[test]
    fn what_an_origin_is() {
        assert!(is_origin("https://lunix.example") && is_origin("http://[::1]:8080"));
        assert!(!is_origin("lunix.example") && !is_origin("https://lunix.example/") && !is_origin("*"));
    }
}
