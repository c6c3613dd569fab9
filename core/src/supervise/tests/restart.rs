//! When a service comes back, and how soon.

use super::*;

#[test]
fn the_first_restart_is_immediate_then_the_delay_doubles_until_the_limit() {
    let backoff = Backoff { base: 10 * MS, cap: 30 * MS, limit: Some(4), stable: 1000 * MS };
    let mut scene = Scene::needing(&[Policy { backoff, ..Policy::default() }], &[]);
    scene.start(0);
    scene.spawned(0);
    assert_eq!(scene.told(), "0 spawn, 0 starting, 0 ready");
    scene.exit(0, Exit::Signal(9));
    assert_eq!(scene.told(), "0 backoff, 0 spawn");
    for delay in [10, 20, 30] {
        scene.spawned(0);
        scene.exit(0, Exit::Code(1));
        assert_eq!(scene.told(), "0 starting, 0 ready, 0 backoff");
        assert_eq!(scene.system.next_deadline(), Some(scene.now + delay * MS));
        scene.pass(delay * MS);
        assert_eq!(scene.told(), "0 spawn");
    }
    scene.spawned(0);
    assert_eq!(scene.system.status(id(0)).unwrap().restarts, 4);
    scene.exit(0, Exit::Code(1));
    assert_eq!(scene.told(), "0 starting, 0 ready, 0 failed");
    assert_eq!(scene.system.next_deadline(), None);
    scene.start(0);
    assert_eq!(scene.told(), "0 spawn");
}

#[test]
fn a_stable_run_makes_the_next_restart_immediate_again() {
    let mut scene = Scene::needing(&[Policy::default()], &[]);
    scene.start(0);
    for _ in 0..50 {
        scene.spawned(0);
        scene.pass(Policy::default().backoff.stable);
        assert_eq!(scene.system.next_deadline(), None, "a running service needs no timer");
        scene.exit(0, Exit::Code(3));
        assert_eq!(scene.phase(0), Phase::Spawning);
    }
}

#[test]
fn a_restart_takes_nobody_along() {
    let mut scene = Scene::needing(&[Policy::default(), Policy::default()], &[(1, 0)]);
    scene.start(1);
    scene.spawned(0);
    scene.spawned(1);
    scene.told();
    scene.input(Input::Restart(id(0))).unwrap();
    scene.exit(0, Exit::Code(0));
    scene.spawned(0);
    assert_eq!(scene.told(), "0 stopping, 0 signal 15, 0 stopped, 0 spawn, 0 starting, 0 ready");
    assert_eq!(scene.phase(1), Phase::Ready);
}

#[test]
fn restart_policies_judge_the_exit() {
    for (restart, exit, phase) in [
        (Restart::Always, Exit::Code(0), Phase::Spawning),
        (Restart::OnFailure, Exit::Code(0), Phase::Stopped),
        (Restart::OnFailure, Exit::Code(1), Phase::Spawning),
        (Restart::OnFailure, Exit::Signal(11), Phase::Spawning),
        (Restart::Never, Exit::Code(0), Phase::Stopped),
        (Restart::Never, Exit::Code(1), Phase::Failed),
    ] {
        let mut scene = Scene::needing(&[Policy { restart, ..Policy::default() }], &[]);
        scene.start(0);
        scene.spawned(0);
        scene.exit(0, exit);
        assert_eq!(scene.phase(0), phase, "{restart:?} {exit:?}");
        assert_eq!(scene.system.next_deadline(), None);
    }
}
