//! Users, groups and capabilities.

use super::*;

#[test]
fn another_user_has_its_groups_and_no_capabilities() {
    needs_root!("user");
    let script = format!("id -u; id -g; {}; {}; echo $HOME $USER", status("CapEff"), status("Uid"));
    let text = said(&script, |it| it.identity.user = Some("nobody".into()));
    let nobody = users().user("nobody").unwrap();
    let expected = format!(
        "{0}\n{1}\n0000000000000000\n{0}\t{0}\t{0}\t{0}\n{2} nobody\n",
        nobody.id, nobody.group, nobody.home
    );
    assert_eq!(text, expected);
    let text = said("id -u; id -g; id -G", |it| {
        it.identity.user = Some("4711".into());
        it.identity.group = Some("4712".into());
        it.identity.groups = vec!["daemon".into(), "4713".into()];
    });
    assert_eq!(text, format!("4711\n4712\n4712 {} 4713\n", users().group("daemon").unwrap()));
    // We are what we were, and our own /proc is still ours: the change made shared memory undumpable.
    assert!(root());
    assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::Dumpable);
}

#[test]
fn capabilities_are_all_that_there_will_ever_be() {
    needs_root!("capabilities");
    let keys = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"].map(status).join("; ");
    // CAP_NET_BIND_SERVICE
    let bits = format!("{:016x}", 1 << 10);
    let none = "0000000000000000";
    let text = said(&keys, |it| {
        it.identity.user = Some("nobody".into());
        it.identity.capabilities = Some(vec![10]);
    });
    assert_eq!(text, format!("{bits}\n{bits}\n{bits}\n{bits}\n{bits}\n0\n"));
    let text = said(&keys, |it| it.identity.capabilities = Some(vec![10]));
    assert_eq!(text, format!("{bits}\n{bits}\n{bits}\n{bits}\n{none}\n0\n"));
    let text = said(&keys, |it| it.identity.capabilities = Some(vec![]));
    assert_eq!(text, format!("{none}\n{none}\n{none}\n{none}\n{none}\n0\n"));
    let text = said(
        "mount -t tmpfs none /mnt 2>&1 || echo refused; chown 1 /proc/self 2>/dev/null || echo no",
        |it| {
            it.identity.capabilities = Some(vec![]);
            it.identity.no_new_privileges = true;
        },
    );
    assert!(text.ends_with("refused\nno\n"), "{text}");
    let error = launch(&of(&{
        let mut it = shell("true");
        it.identity.capabilities = Some(vec![63]);
        it
    }));
    assert_eq!(error.unwrap_err().to_string(), "capability 63 is not the supervisor's to give");
}

#[test]
fn an_ordinary_user_has_none_to_give() {
    if root() {
        return println!("SKIPPED ordinary: we are root");
    }
    let keys = ["CapEff", "NoNewPrivs"].map(status).join("; ");
    assert_eq!(said(&keys, |it| it.identity.capabilities = Some(vec![])), "0000000000000000\n1\n");
    let mut definition = shell("true");
    definition.identity.capabilities = Some(vec![10]);
    assert!(launch(&of(&definition)).unwrap_err().to_string().starts_with("capability 10"));
    definition.identity.capabilities = None;
    definition.identity.user = Some("root".into());
    assert!(launch(&of(&definition)).unwrap_err().to_string().contains("Operation not permitted"));
}
