//! This machine's network interfaces: their addresses and names.

#![allow(unsafe_code, reason = "getifaddrs and SIOCSIFNAME, which no safe crate offers")]

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::ptr;

/// All addresses of interfaces, in the kernel's order; none if the kernel does not say.
pub fn addresses() -> Vec<IpAddr> {
    let mut first = ptr::null_mut();
    // SAFETY: the pointer is written before it is read; getifaddrs answers 0 if it points to a list.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut next = first;
    // SAFETY: `next` is null or an element of the list, which lives until freeifaddrs; nobody else changes it.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: an address is null or at least as long as its family says.
        found.extend(unsafe { address(entry.ifa_addr) });
    }
    // SAFETY: the list came from getifaddrs, and nothing points into it any more.
    unsafe { libc::freeifaddrs(first) };
    found
}

/// Gives an interface another name; it must be down.
///
/// # Errors
/// There is no such interface, the name is taken, too long or empty, or we may not.
pub fn rename(old: &[u8], new: &[u8]) -> io::Result<()> {
    // SAFETY: all zero is a valid request.
    let mut request = unsafe { MaybeUninit::<libc::ifreq>::zeroed().assume_init() };
    fill(&mut request.ifr_name, old)?;
    let mut name = [0; libc::IFNAMSIZ];
    fill(&mut name, new)?;
    request.ifr_ifru.ifru_newname = name;
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: the request is a whole one of the kind that this number asks for.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFNAME as _, &raw const request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A name with a zero behind it.
fn fill(out: &mut [libc::c_char; libc::IFNAMSIZ], name: &[u8]) -> io::Result<()> {
    if name.is_empty() || name.len() >= out.len() || name.contains(&0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in out.iter_mut().zip(name) {
        *to = from.cast_signed() as libc::c_char;
    }
    Ok(())
}

/// # Safety
/// `address` is null or points to a socket address of its family's length.
unsafe fn address(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: the caller's promise; the family is in every socket address.
    match i32::from(unsafe { address.as_ref() }?.sa_family) {
        libc::AF_INET => {
            // SAFETY: the family says how long it is; it need not be aligned.
            let address = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes()).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_that_are_none_are_refused() {
        for (old, new) in [(&b""[..], &b"a"[..]), (b"a", b""), (b"a", b"sixteen-letters!"), (b"a", b"x\0y")] {
            let error = super::rename(old, new).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        }
        assert!(super::rename(b"no-such-one", b"other").is_err());
    }

    #[test]
    fn loopback_is_among_them() {
        let addresses = super::addresses();
        assert!(addresses.is_empty() || addresses.iter().any(std::net::IpAddr::is_loopback), "{addresses:?}");
    }
}
