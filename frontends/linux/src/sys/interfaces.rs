//! This machine's network interfaces: their addresses, names and states.

#![allow(unsafe_code, reason = "getifaddrs, and requests of netdevice(7), which no safe crate offers")]

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, OwnedFd};
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
    let mut request = about(old)?;
    let mut name = [0; libc::IFNAMSIZ];
    fill(&mut name, new)?;
    request.ifr_ifru.ifru_newname = name;
    // SAFETY: this number reads the new name.
    unsafe { ask(&socket()?, libc::SIOCSIFNAME as _, &raw mut request) }
}

/// Brings an interface up. `false` if it was. The loopback interface gets its address with that.
///
/// # Errors
/// There is no such interface, or we may not.
pub fn up(name: &[u8]) -> io::Result<bool> {
    let (socket, mut request) = (socket()?, about(name)?);
    // SAFETY: this number writes the flags.
    unsafe { ask(&socket, libc::SIOCGIFFLAGS as _, &raw mut request)? };
    // SAFETY: they were written, and any value is one.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let down = i32::from(flags) & libc::IFF_UP == 0;
    if down {
        request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
        // SAFETY: this number reads the flags.
        unsafe { ask(&socket, libc::SIOCSIFFLAGS as _, &raw mut request)? };
    }
    Ok(down)
}

/// Gives an interface an address, of which the first `prefix` bits (at most 32) are its network's; others of that network are
/// reached by it once it is up.
///
/// # Errors
/// There is no such interface, it cannot have this address, or we may not.
pub fn set_address(name: &[u8], own: Ipv4Addr, prefix: u8) -> io::Result<()> {
    let (socket, mut request) = (socket()?, about(name)?);
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
    for (number, value) in [(libc::SIOCSIFADDR, own), (libc::SIOCSIFNETMASK, Ipv4Addr::from_bits(mask))] {
        request.ifr_ifru.ifru_addr = ipv4(value);
        // SAFETY: these numbers read an address.
        unsafe { ask(&socket, number as _, &raw mut request)? };
    }
    Ok(())
}

/// Sends what is for other networks to `gateway`.
///
/// # Errors
/// No interface that is up leads there, there is such a way already, or we may not.
pub fn add_gateway(gateway: Ipv4Addr) -> io::Result<()> {
    // SAFETY: all zero is a valid request, and any way.
    let mut request = unsafe { MaybeUninit::<libc::rtentry>::zeroed().assume_init() };
    request.rt_dst = ipv4(Ipv4Addr::UNSPECIFIED);
    request.rt_genmask = ipv4(Ipv4Addr::UNSPECIFIED);
    request.rt_gateway = ipv4(gateway);
    request.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    // SAFETY: this number reads a way, whose pointer may be null.
    unsafe { ask(&socket()?, libc::SIOCADDRT as _, &raw mut request) }
}

fn socket() -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    Ok(socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

fn about(name: &[u8]) -> io::Result<libc::ifreq> {
    // SAFETY: all zero is a valid request.
    let mut request = unsafe { MaybeUninit::<libc::ifreq>::zeroed().assume_init() };
    fill(&mut request.ifr_name, name)?;
    Ok(request)
}

/// # Safety
/// `request` is a whole one of the kind that `number` asks for.
unsafe fn ask<T>(socket: &OwnedFd, number: libc::Ioctl, request: *mut T) -> io::Result<()> {
    // SAFETY: the caller's promise.
    match unsafe { libc::ioctl(socket.as_raw_fd(), number, request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// sockaddr_in as a sockaddr: family, port, address.
fn ipv4(address: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data.iter_mut().skip(2).zip(address.octets()) {
        *to = from.cast_signed() as libc::c_char;
    }
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: data }
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
        assert!(super::up(b"no-such-one").is_err());
    }

    #[test]
    fn loopback_is_among_them() {
        let addresses = super::addresses();
        assert!(addresses.is_empty() || addresses.iter().any(std::net::IpAddr::is_loopback), "{addresses:?}");
    }
}
