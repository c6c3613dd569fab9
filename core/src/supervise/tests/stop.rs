//! Stops, in their order, of what obeys and of what does not.

use super::*;

#[test]
fn what_outlives_sigkill_is_left_behind_and_started_again_only_when_it_is_gone() {
    let mut scene = Scene::needing(&[Policy::default(), Policy::default()], &[(1, 0)]);
    scene.start(1);
    scene.spawned(0);
    scene.spawned(1);
    scene.told();
    scene.stop(0);
    scene.pass(Duration::from_secs(5));
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.told(), "1 stopping, 1 signal 15, 1 signal 9, 1 failed, 0 stopping, 0 signal 15");
    scene.exit(0, Exit::Code(0));
    scene.start(1);
    scene.spawned(0);
    assert_eq!(scene.phase(1), Phase::Stuck);
    scene.told();
    scene.exit(1, Exit::Signal(9));
    assert_eq!(scene.told(), "1 stopped, 1 spawn");
}

#[test]
fn a_stop_during_the_spawn_waits_for_its_answer() {
    let mut scene = Scene::needing(&[Policy::default()], &[]);
    scene.start(0);
    scene.stop(0);
    assert_eq!(scene.told(), "0 spawn, 0 stopping");
    scene.spawned(0);
    assert_eq!(scene.told(), "0 signal 15");
    scene.start(0);
    scene.exit(0, Exit::Code(0));
    assert_eq!(scene.told(), "0 stopped, 0 spawn");
    scene.stop(0);
    scene.not_spawned(0);
    assert_eq!(scene.told(), "0 stopping, 0 stopped");
}

#[test]
fn an_abort_kills_everything_at_once() {
    let mut scene = Scene::needing(&[Policy::default(), Policy::default()], &[(1, 0)]);
    scene.start(1);
    scene.spawned(0);
    scene.told();
    scene.input(Input::Abort).unwrap();
    assert_eq!(scene.told(), "0 stopping, 0 signal 9, 1 stopping");
    scene.spawned(1);
    assert_eq!(scene.told(), "1 signal 15, 1 signal 9");
    scene.exit(1, Exit::Signal(9));
    scene.exit(0, Exit::Signal(9));
    assert_eq!(scene.told(), "1 stopped, 0 stopped, down");
}

#[test]
fn signals_of_the_stop_sequence_follow_each_other() {
    let stop = Stop::of(&[(Signal::INT, SECOND), (Signal::TERM, 2 * SECOND), (Signal(3), SECOND)]).unwrap();
    let mut scene = Scene::new(&[Policy { stop, ..Policy::default() }], &[]);
    scene.start(0);
    scene.spawned(0);
    scene.told();
    scene.stop(0);
    for (span, told) in [
        (SECOND, "0 stopping, 0 signal 2"),
        (2 * SECOND, "0 signal 15"),
        (SECOND, "0 signal 3"),
        (2 * SECOND, "0 signal 9"),
    ] {
        assert_eq!(scene.told(), told);
        assert_eq!(scene.system.next_deadline(), Some(scene.now + span));
        scene.pass(span);
    }
    assert_eq!(scene.told(), "0 failed");
    let mut scene = Scene::new(&[Policy { stop: Stop::KILL, ..Policy::default() }], &[]);
    scene.start(0);
    scene.spawned(0);
    scene.told();
    scene.stop(0);
    assert_eq!(scene.told(), "0 stopping, 0 signal 9");
}

/// systemd's TEST-52: the first one wins, and nothing starts after it.
#[test]
fn a_second_shutdown_changes_nothing() {
    let mut scene = Scene::new(&[Policy::default(), on_demand()], &[]);
    scene.start(0);
    scene.start(1);
    scene.spawned(0);
    scene.told();
    scene.input(Input::Shutdown).unwrap();
    scene.input(Input::Shutdown).unwrap();
    assert_eq!(scene.told(), "0 stopping, 0 signal 15, 1 stopped");
    for input in [Input::Start(id(0)), Input::Restart(id(0)), Input::Trigger(id(1))] {
        assert_eq!(scene.input(input), Err(InputError::ShuttingDown));
    }
    scene.stop(0);
    scene.exit(0, Exit::Code(1));
    assert_eq!(scene.told(), "0 stopped, down");
    scene.input(Input::Shutdown).unwrap();
    scene.input(Input::Abort).unwrap();
    assert_eq!(scene.told(), "", "it is down once");
}
