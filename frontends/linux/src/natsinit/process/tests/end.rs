//! How it ends, with everything that came of it.

use super::*;

#[test]
fn it_dies_with_the_thread_that_made_it() {
    let pidfd =
        std::thread::spawn(|| launch(&of(&service(&["sleep", "100"]))).unwrap().pidfd).join().unwrap();
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    assert_eq!(status.terminating_signal(), Some(libc::SIGKILL));
    let definition = service(&["sleep", "100"]);
    let process =
        std::thread::spawn(move || launch(&Launch { die_with_parent: false, ..of(&definition) }).unwrap());
    let process = process.join().unwrap();
    assert!(!readable(&process.pidfd, Duration::from_millis(100)));
    stop(process);
}

#[test]
fn a_fork_bomb_stays_below_its_limit() {
    needs_root!("fork bomb");
    // A user of its own, whose processes are counted.
    let mut definition = service(&[
        "python3",
        "-c",
        "import os, time\nfor n in range(1000):\n    try:\n        if os.fork() == 0: time.sleep(100)\n    except BlockingIOError: print(n, flush=True); break\ntime.sleep(100)",
    ]);
    definition.identity.user = Some("61234".into());
    definition.identity.group = Some("61234".into());
    definition.limits.resources = vec![(Resource::Processes, Some(50))];
    let mut process = launch(&of(&definition)).unwrap();
    let pipe = process.output.take().unwrap();
    let (mut text, mut buffer) = (Vec::new(), [0; 8]);
    while !text.ends_with(b"\n") {
        assert!(readable(&pipe, Duration::from_secs(30)));
        let length = rustix::io::read(&pipe, &mut buffer).unwrap();
        text.extend_from_slice(&buffer[..length]);
    }
    let made: u32 = String::from_utf8(text).unwrap().trim().parse().unwrap();
    assert!((40..50).contains(&made), "{made}");
    stop(process);
    // All of it has ended: nobody has the pipe any more.
    assert_eq!(all(pipe), "");
}

#[test]
fn one_that_daemonises_ends_with_its_family() {
    // Away from its process group, with its parent gone, and from its session.
    let script = "(sleep 1000 &); setsid sleep 1000 & sh -c 'setsid sh -c \"sleep 1000 & sleep 1000\"' & \
        echo; exec sleep 1000";
    let process = launch(&of(&shell(script))).unwrap();
    let pipe = process.output.as_ref().unwrap();
    assert!(readable(pipe, Duration::from_secs(20)));
    let until = Instant::now() + Duration::from_secs(20);
    while usage::family(process.pid.as_raw_nonzero().get().cast_unsigned()).len() < 5 {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
    kill_family(process.pid);
    assert_eq!(wait(&process), (None, Some(libc::SIGKILL)));
    // Nobody has the pipe any more.
    assert_eq!(all(process.output.unwrap()), "\n");
}

#[test]
fn a_thousand_leave_nothing_behind() {
    let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let definition = service(&["true"]);
    let missing = service(&["/nosuch"]);
    // Other tests run meanwhile and have some open; only a leak of this one would be so many.
    let before = fds();
    for _ in 0..500 {
        let process = launch(&of(&definition)).unwrap();
        assert_eq!(wait(&process), (Some(0), None));
        launch(&of(&missing)).unwrap_err();
    }
    assert!(fds() < before + 100);
}
