//! Whose a TCP socket is, by `/proc/net/tcp` (proc(5)): for kernels that have no socket diagnosis, or not its module.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::net::IpAddr;

/// An address and a port.
pub(super) type End = (IpAddr, u16);

/// State, user id and inode of the socket from `source` to `destination`.
///
/// # Errors
/// There is no /proc.
pub(super) fn find(source: End, destination: End) -> io::Result<Option<(u8, u32, u32)>> {
    let mut read = false;
    for (file, wide) in [("/proc/self/net/tcp", false), ("/proc/self/net/tcp6", true)] {
        let (Some(from), Some(to)) = (written(source, wide), written(destination, wide)) else { continue };
        // Kernels without IPv6 lack the second one.
        let Ok(file) = File::open(file) else { continue };
        read = true;
        for line in BufReader::new(file).lines() {
            let line = line?;
            let mut words = line.split_ascii_whitespace().skip(1);
            if words.next() == Some(&from) && words.next() == Some(&to) {
                return Ok(entry(words));
            }
        }
    }
    if read { Ok(None) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// State, queues, timer, retransmissions, uid, time-outs, inode.
fn entry<'l>(mut words: impl Iterator<Item = &'l str>) -> Option<(u8, u32, u32)> {
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let uid = words.nth(3)?.parse().ok()?;
    let inode = words.nth(1)?.parse().ok()?;
    Some((state, uid, inode))
}

/// As the kernel writes it: words of four bytes in the machine's order, in hexadecimal.
fn written((address, port): End, wide: bool) -> Option<String> {
    let octets = match (address, wide) {
        (IpAddr::V4(address), false) => address.octets().to_vec(),
        (IpAddr::V4(address), true) => address.to_ipv6_mapped().octets().to_vec(),
        (IpAddr::V6(address), true) => address.octets().to_vec(),
        (IpAddr::V6(_), false) => return None,
    };
    let mut text = String::new();
    for word in octets.chunks_exact(4) {
        let word: [u8; 4] = word.try_into().ok()?;
        write!(text, "{:08X}", u32::from_ne_bytes(word)).ok()?;
    }
    write!(text, ":{port:04X}").ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_other_end_is_found() {
        let me = rustix::process::geteuid().as_raw();
        for (listen, connect) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
            let Ok(listener) = TcpListener::bind(listen) else {
                eprintln!("SKIPPED the_other_end_is_found {listen}: no such address here");
                continue;
            };
            let client = TcpStream::connect((connect, listener.local_addr().unwrap().port())).unwrap();
            let end = |address: std::net::SocketAddr| (address.ip().to_canonical(), address.port());
            let (from, to) = (end(client.local_addr().unwrap()), end(client.peer_addr().unwrap()));
            let (state, uid, inode) = find(from, to).unwrap().unwrap();
            assert_eq!((state, uid), (1, me), "{listen}");
            assert_ne!(inode, 0);
            let nobody = (IpAddr::from([127, 0, 0, 1]), 1);
            assert_eq!(find(nobody, to).unwrap(), None);
        }
    }
}
