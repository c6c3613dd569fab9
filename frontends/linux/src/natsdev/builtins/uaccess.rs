//! `uaccess`: who sits at the seat that a device belongs to may use it, for as long as a session is active there. Who that
//! is, logind notes in `/run/systemd/seats`; what it changes later, it changes itself.

use std::io;
use std::path::Path;

use rustix::fs::{XattrFlags, lremovexattr, lsetxattr};
use rustix::io::Errno;

use super::{Asked, Properties};
use crate::natsdev::device::{limited, relative};
use crate::natsdev::rules::evaluate::Writes;

/// Bytes of a note about a seat.
const NOTE: u64 = 16 << 10;
const ACL: &str = "system.posix_acl_access";

pub(super) fn run(asked: &Asked<'_>) -> io::Result<Option<Properties>> {
    let done = Ok(Some(Properties::new()));
    let Some(node) = asked.device.node().filter(|_| asked.writes != Writes::Told) else { return done };
    let seat = asked.property(b"ID_SEAT").filter(|seat| is_name(seat)).unwrap_or(b"seat0");
    let seat = asked.root.path("/run/systemd/seats").join(relative(seat));
    // Without logind there are no seats.
    let Ok(note) = limited(&seat, NOTE) else { return done };
    let user = note.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"ACTIVE_UID="));
    let user = user.and_then(|user| str::from_utf8(user).ok()?.parse().ok()).filter(|user| *user != 0);
    permit(&asked.root.path("/dev").join(relative(node)), user)?;
    done
}

fn is_name(seat: &[u8]) -> bool {
    seat.starts_with(b"seat") && seat.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// Of all users, this one may use the node besides those whom its permissions let.
fn permit(node: &Path, user: Option<u32>) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let Some(user) = user else {
        return match lremovexattr(node, ACL) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        };
    };
    let mode = std::fs::symlink_metadata(node)?.mode();
    Ok(lsetxattr(node, ACL, &list(mode, user), XattrFlags::empty())?)
}

/// An access list as the kernel takes it (`linux/posix_acl_xattr.h`), little endian: the version, and for each entry what it
/// is about, what it allows, and who it is.
fn list(mode: u32, user: u32) -> Vec<u8> {
    const VERSION: u32 = 2;
    const NOBODY: u32 = u32::MAX;
    const READ_WRITE: u32 = 6;
    let bits = |shift: u32| mode >> shift & 7;
    // The owner, a user, the group, the most that those two may, all others.
    let entries = [
        (0x01_u16, bits(6), NOBODY),
        (0x02, READ_WRITE, user),
        (0x04, bits(3), NOBODY),
        (0x10, bits(3) | READ_WRITE, NOBODY),
        (0x20, bits(0), NOBODY),
    ];
    let mut list = VERSION.to_le_bytes().to_vec();
    for (tag, allowed, who) in entries {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&(allowed as u16).to_le_bytes());
        list.extend_from_slice(&who.to_le_bytes());
    }
    list
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use rustix::fs::lgetxattr;

    use super::*;

    #[test]
    fn who_sits_there_may_use_it_and_nobody_after_that() {
        let file = std::env::temp_dir().join(format!("lunix-uaccess-{}", std::process::id()));
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        if permit(&file, Some(1000)).is_err_and(|error| error.kind() == io::ErrorKind::Unsupported) {
            fs::remove_file(&file).unwrap();
            return eprintln!(
                "SKIPPED who_sits_there_may_use_it_and_nobody_after_that: no access lists here"
            );
        }
        // The kernel shows the most that anybody but the owner may as what the group may.
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o660);
        for (user, other) in [(1001, 1000), (1000, 1001)] {
            permit(&file, Some(user)).unwrap();
            let mut kept = [0; 256];
            let len = lgetxattr(&file, ACL, &mut kept[..]).unwrap();
            let names = |user: u32| kept[..len].windows(4).any(|word| word == user.to_le_bytes());
            assert!(names(user) && !names(other));
        }
        for _ in 0..2 {
            permit(&file, None).unwrap();
            assert!(lgetxattr(&file, ACL, &mut [0; 256][..]).is_err());
        }
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn seats_are_names() {
        assert!(is_name(b"seat0") && is_name(b"seat-usb-1"));
        for odd in ["", "eat0", "seat/../x", "seat0\n", "seat."] {
            assert!(!is_name(odd.as_bytes()), "{odd}");
        }
    }
}
