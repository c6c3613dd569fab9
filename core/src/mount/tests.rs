extern crate std;
use std::vec;
use std::vec::Vec;

use super::*;

type Few = Volumes<3>;

const A: Facts<'_> = Facts { devnode: b"/dev/sda1", fstype: b"vfat", label: b"A", uuid: b"1" };
const NOW: Instant = Instant::from_micros(1);

fn few() -> Few {
    Few::new(Limits { time: Duration::from_secs(1) })
}

fn drain(volumes: &mut Few) -> Vec<Action> {
    std::iter::from_fn(|| volumes.poll()).collect()
}

fn mounted(volumes: &mut Few) -> VolumeId {
    let id = volumes.handle(NOW, Input::Present(A, Wish::Mount)).unwrap();
    assert_eq!(drain(volumes), [Action::Mount(id)]);
    volumes.place(id, b"/media/A").unwrap();
    volumes.handle(NOW, Input::Done(id)).unwrap();
    assert_eq!(drain(volumes), [Action::Say(id, Told::Mounted)]);
    id
}

#[test]
fn a_stick_comes_and_goes() {
    let mut volumes = few();
    let id = mounted(&mut volumes);
    assert_eq!(volumes.get(id).unwrap().target, b"/media/A");
    // Said again, it is not mounted again.
    volumes.handle(NOW, Input::Present(A, Wish::Mount)).unwrap();
    assert_eq!(drain(&mut volumes), []);
    volumes.handle(NOW, Input::Gone(A.devnode)).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Detach(id)]);
    volumes.handle(NOW, Input::Done(id)).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Say(id, Told::Unmounted)]);
    assert_eq!(volumes.get(id).unwrap().target, b"/media/A", "for whoever says it");
    assert_eq!(volumes.next_deadline(), None);
    volumes.handle(NOW, Input::Tick).unwrap();
    assert_eq!(volumes.iter().count(), 0);
    assert_eq!(volumes.handle(NOW, Input::Gone(A.devnode)), Err(Refusal::Unknown));
}

#[test]
fn what_is_not_wanted_waits_for_somebody_who_asks() {
    let mut volumes = few();
    let id = volumes.handle(NOW, Input::Present(A, Wish::Leave)).unwrap();
    assert_eq!(drain(&mut volumes), []);
    assert_eq!(volumes.handle(NOW, Input::Unmount(A.devnode)), Err(Refusal::NotMounted));
    volumes.handle(NOW, Input::Mount(A.devnode)).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Mount(id)]);
    assert_eq!(volumes.handle(NOW, Input::Mount(A.devnode)), Err(Refusal::Busy));
    volumes.handle(NOW, Input::Done(id)).unwrap();
    assert_eq!(volumes.handle(NOW, Input::Mount(A.devnode)), Err(Refusal::Mounted));
    volumes.handle(NOW, Input::Unmount(A.devnode)).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Unmount(id)]);
    // Somebody uses it.
    volumes.handle(NOW, Input::Failed(id, Errno(16))).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Say(id, Told::NotUnmounted(Errno(16)))]);
    assert_eq!(volumes.get(id).unwrap().state, State::Mounted);
    volumes.handle(NOW, Input::Unmount(A.devnode)).unwrap();
    volumes.handle(NOW, Input::Done(id)).unwrap();
    // And stays so, although the rules have changed their mind.
    volumes.handle(NOW, Input::Present(A, Wish::Mount)).unwrap();
    assert_eq!(drain(&mut volumes), []);
    // Another file system on it is another matter.
    volumes.handle(NOW, Input::Present(Facts { uuid: b"2", ..A }, Wish::Mount)).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Mount(id)]);
}

#[test]
fn what_hangs_is_given_up_and_undone_when_it_comes_after_all() {
    let mut volumes = few();
    let id = volumes.handle(NOW, Input::Present(A, Wish::Mount)).unwrap();
    drain(&mut volumes);
    let due = volumes.next_deadline().unwrap();
    volumes.handle(due, Input::Tick).unwrap();
    let told = Told::NotMounted(Errno::TIMED_OUT);
    assert_eq!(drain(&mut volumes), [Action::Say(id, told), Action::Abandon(id)]);
    assert_eq!(volumes.next_deadline(), None);
    assert_eq!(volumes.handle(due, Input::Mount(A.devnode)), Err(Refusal::Busy));
    volumes.handle(due, Input::Done(id)).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Detach(id)]);
    volumes.handle(due, Input::Done(id)).unwrap();
    assert_eq!(drain(&mut volumes), []);
    volumes.handle(due, Input::Mount(A.devnode)).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Mount(id)]);
}

#[test]
fn it_goes_while_it_is_mounted_and_another_one_comes() {
    let mut volumes = few();
    let old = volumes.handle(NOW, Input::Present(A, Wish::Mount)).unwrap();
    drain(&mut volumes);
    volumes.handle(NOW, Input::Gone(A.devnode)).unwrap();
    assert_eq!(drain(&mut volumes), []);
    let new = volumes.handle(NOW, Input::Present(A, Wish::Mount)).unwrap();
    assert_ne!(old, new);
    assert_eq!(drain(&mut volumes), [Action::Mount(new)]);
    volumes.handle(NOW, Input::Done(old)).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Say(old, Told::Mounted), Action::Detach(old)]);
    volumes.handle(NOW, Input::Done(old)).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Say(old, Told::Unmounted)]);
    volumes.handle(NOW, Input::Failed(new, Errno(5))).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Say(new, Told::NotMounted(Errno(5)))]);
    assert_eq!(volumes.iter().count(), 1);
}

#[test]
fn it_goes_while_somebody_wants_it_unmounted() {
    let mut volumes = few();
    let id = mounted(&mut volumes);
    volumes.handle(NOW, Input::Unmount(A.devnode)).unwrap();
    drain(&mut volumes);
    volumes.handle(NOW, Input::Gone(A.devnode)).unwrap();
    volumes.handle(NOW, Input::Failed(id, Errno(16))).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Say(id, Told::NotUnmounted(Errno(16))), Action::Detach(id)]);
    // What cannot even be detached is not tried for ever, and ends when it is lost.
    volumes.handle(NOW, Input::Failed(id, Errno(1))).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Say(id, Told::NotUnmounted(Errno(1)))]);
    volumes.handle(NOW, Input::Lost(id)).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Say(id, Told::Unmounted)]);
    volumes.handle(NOW, Input::Tick).unwrap();
    assert_eq!(volumes.iter().count(), 0);
}

#[test]
fn what_others_mounted_is_theirs_and_what_was_ours_is_ours() {
    let mut volumes = few();
    let id = volumes.handle(NOW, Input::Present(A, Wish::Theirs(b"/mnt"))).unwrap();
    assert_eq!(drain(&mut volumes), []);
    for input in [Input::Mount(A.devnode), Input::Unmount(A.devnode)] {
        assert_eq!(volumes.handle(NOW, input), Err(Refusal::Theirs));
    }
    volumes.handle(NOW, Input::Lost(id)).unwrap();
    assert_eq!(volumes.get(id).unwrap().state, State::Present);
    // They unmounted it: it is not taken from them.
    volumes.handle(NOW, Input::Present(A, Wish::Mount)).unwrap();
    assert_eq!(drain(&mut volumes), []);
    volumes.handle(NOW, Input::Taken(id, b"/mnt")).unwrap();
    assert_eq!(volumes.handle(NOW, Input::Mount(A.devnode)), Err(Refusal::Theirs));
    assert_eq!(volumes.handle(NOW, Input::Taken(id, b"/mnt")), Err(Refusal::Mounted));
    let b = Facts { devnode: b"/dev/sdb1", ..A };
    let ours = volumes.handle(NOW, Input::Present(b, Wish::Ours(b"/media/A"))).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Say(ours, Told::Again)]);
    volumes.handle(NOW, Input::Announce).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Say(ours, Told::Again)]);
    volumes.handle(NOW, Input::Gone(b.devnode)).unwrap();
    assert_eq!(drain(&mut volumes), [Action::Detach(ours)]);
}

#[test]
fn there_is_room_for_so_many_and_so_long_ones() {
    let mut volumes = few();
    let nodes = [&b"/dev/a"[..], b"/dev/b", b"/dev/c"];
    for devnode in nodes {
        volumes.handle(NOW, Input::Present(Facts { devnode, ..A }, Wish::Leave)).unwrap();
    }
    assert_eq!(volumes.handle(NOW, Input::Present(A, Wish::Mount)), Err(Refusal::Full));
    volumes.handle(NOW, Input::Gone(b"/dev/b")).unwrap();
    let long = vec![b'x'; 200];
    let facts = Facts { devnode: &long, ..A };
    assert_eq!(volumes.handle(NOW, Input::Present(facts, Wish::Mount)), Err(Refusal::TooLong));
    assert_eq!(volumes.handle(NOW, Input::Present(Facts::default(), Wish::Mount)), Err(Refusal::TooLong));
    let id = volumes.handle(NOW, Input::Present(Facts { label: &long, ..A }, Wish::Mount)).unwrap();
    assert_eq!(volumes.get(id).unwrap().facts.label.len(), 96);
    assert_eq!(volumes.place(id, &[b'y'; 256]), Err(Refusal::TooLong));
}

#[test]
fn what_is_said_is_json() {
    let mut volumes = few();
    let id = mounted(&mut volumes);
    let mut out = [0; 512];
    let mut value = |told, error| {
        let len = encode::event(&mut out, volumes.get(id).unwrap(), told, error).unwrap();
        serde_json::from_slice::<serde_json::Value>(&out[..len]).unwrap()
    };
    let mut expected = serde_json::json!({"devnode": "/dev/sda1", "target": "/media/A", "fstype": "vfat",
        "label": "A", "uuid": "1"});
    assert_eq!(value(Told::Unmounted, ""), expected);
    expected["action"] = "mount".into();
    expected["errno"] = 19.into();
    expected["error"] = "why".into();
    assert_eq!(value(Told::NotMounted(Errno(19)), "why"), expected);
    let len = encode::list(&mut out, volumes.iter().map(|(_, volume)| volume)).unwrap();
    let list: serde_json::Value = serde_json::from_slice(&out[..len]).unwrap();
    assert_eq!(list[0]["state"], "mounted");
    assert!(encode::list(&mut out[..8], volumes.iter().map(|(_, volume)| volume)).is_err());
}
