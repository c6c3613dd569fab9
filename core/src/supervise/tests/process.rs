//! What is said of a process, and by it.

use super::*;

#[test]
fn a_start_that_takes_too_long_is_stopped_and_tried_again() {
    let mut scene = Scene::needing(&[notifying()], &[]);
    scene.start(0);
    scene.spawned(0);
    scene.told();
    scene.pass(Duration::from_secs(10));
    assert_eq!(scene.told(), "0 stopping, 0 signal 15");
    scene.pass(Duration::from_secs(5));
    assert_eq!(scene.told(), "0 signal 9");
    scene.exit(0, Exit::Signal(9));
    assert_eq!(scene.told(), "0 backoff, 0 spawn");
}

#[test]
fn words_of_a_process_that_is_gone_are_refused() {
    let mut scene = Scene::needing(&[Policy::default()], &[]);
    let service = id(0);
    assert_eq!(scene.input(Input::Ready { service, pid: 7 }), Err(InputError::Stale));
    assert_eq!(scene.input(Input::Exited { service, pid: 7, exit: Exit::Code(0) }), Err(InputError::Stale));
    assert_eq!(scene.input(Input::Start(id(1))), Err(InputError::UnknownService));
    scene.start(0);
    scene.spawned(0);
    scene.exit(0, Exit::Code(0));
    scene.spawned(0);
    let late = SpawnTicket { service, run: 1 };
    assert_eq!(scene.input(Input::Spawned { ticket: late, pid: 9 }), Err(InputError::Stale));
    let twice = SpawnTicket { service, run: 2 };
    let answer = scene.input(Input::Spawned { ticket: twice, pid: 9 });
    assert_eq!(answer, Err(InputError::Impossible(Phase::Ready, Event::Spawned, "no ticket is out")));
}

/// systemd's TEST-16.
#[test]
fn a_service_that_needs_more_time_gets_it() {
    let mut scene = Scene::new(&[notifying()], &[]);
    scene.start(0);
    scene.spawned(0);
    scene.extend(0, SECOND);
    assert_eq!(scene.system.next_deadline(), Some(scene.now + 10 * SECOND), "less is not less");
    scene.pass(9 * SECOND);
    scene.extend(0, 5 * SECOND);
    scene.pass(4 * SECOND);
    scene.extend(0, 5 * SECOND);
    scene.pass(4 * SECOND);
    assert_eq!(scene.told(), "0 spawn, 0 starting");
    scene.ready(0);
    scene.extend(0, 5 * SECOND);
    assert_eq!(scene.system.next_deadline(), None);
    scene.stop(0);
    scene.extend(0, 60 * SECOND);
    scene.pass(59 * SECOND);
    assert_eq!(scene.told(), "0 ready, 0 stopping, 0 signal 15");
    scene.pass(SECOND);
    assert_eq!(scene.told(), "0 signal 9");
    scene.extend(0, 60 * SECOND);
    assert_eq!(scene.system.next_deadline(), Some(scene.now + 2 * SECOND), "SIGKILL does not wait");
}

#[test]
fn a_watchdog_that_is_not_fed_ends_the_process() {
    let mut scene =
        Scene::new(&[Policy { watchdog: Some(3 * SECOND), restart: Restart::OnFailure, ..notifying() }], &[]);
    scene.start(0);
    scene.spawned(0);
    scene.alive(0);
    assert_eq!(scene.system.next_deadline(), Some(scene.now + 10 * SECOND), "it is not ready yet");
    scene.ready(0);
    for _ in 0..5 {
        scene.pass(2 * SECOND);
        scene.alive(0);
    }
    assert_eq!(scene.told(), "0 spawn, 0 starting, 0 ready");
    scene.pass(3 * SECOND);
    scene.exit(0, Exit::Code(0));
    assert_eq!(scene.told(), "0 stopping, 0 signal 15, 0 backoff, 0 spawn", "that is no clean end");
}

#[test]
fn a_reload_is_a_signal_to_a_ready_process() {
    let mut scene =
        Scene::new(&[Policy { reload: Some(Signal::HUP), ..notifying() }, Policy::default()], &[]);
    let reload = |scene: &mut Scene, service| scene.input(Input::Reload(id(service)));
    assert!(matches!(reload(&mut scene, 0), Err(InputError::Impossible(Phase::Stopped, Event::Reload, _))));
    assert_eq!(reload(&mut scene, 1), Err(InputError::NotReloadable));
    assert_eq!(reload(&mut scene, 2), Err(InputError::UnknownService));
    scene.start(0);
    scene.spawned(0);
    assert!(reload(&mut scene, 0).is_err());
    scene.ready(0);
    scene.told();
    reload(&mut scene, 0).unwrap();
    scene.ready(0);
    assert_eq!(scene.told(), "0 signal 1", "it was ready all the time");
}

/// systemd's TEST-59: a reload of definitions while things run.
#[test]
fn another_policy_counts_from_now_on() {
    let mut scene = Scene::new(&[notifying(), on_demand()], &[]);
    scene.start(0);
    scene.start(1);
    scene.spawned(0);
    scene.pass(4 * SECOND);
    let set = |scene: &mut Scene, service, policy| {
        scene.system.set_policy(id(service), policy).unwrap();
        scene.drain();
    };
    set(&mut scene, 0, Policy { start_timeout: Some(6 * SECOND), ..notifying() });
    assert_eq!(scene.system.next_deadline(), Some(scene.now + 2 * SECOND));
    scene.ready(0);
    set(&mut scene, 0, Policy { watchdog: Some(SECOND), ..notifying() });
    assert_eq!(scene.system.next_deadline(), Some(scene.now + SECOND));
    set(&mut scene, 0, notifying());
    assert_eq!(scene.system.next_deadline(), None);
    scene.told();
    set(&mut scene, 1, Policy::default());
    assert_eq!(scene.told(), "1 stopped, 1 spawn", "what waited for a trigger does so no longer");
    assert!(scene.system.set_policy(id(3), Policy::default()).is_err());
}

#[test]
fn a_longrun_that_runs_names_another_process() {
    let mut scene = Scene::needing(&[notifying(), oneshot()], &[]);
    let follow = |scene: &mut Scene, service: u16, main: u32| {
        let pid = scene.pid(service);
        let answer = scene.input(Input::Follow { service: id(service), pid, main });
        if answer.is_ok() {
            scene.world.process[usize::from(service)] = Some(main);
        }
        answer
    };
    scene.start(0);
    scene.spawned(0);
    let made = scene.pid(0);
    assert_eq!(follow(&mut scene, 0, 0), Err(InputError::NotFollowed));
    assert_eq!(follow(&mut scene, 0, 70), Ok(()));
    assert_eq!(scene.input(Input::Ready { service: id(0), pid: made }), Err(InputError::Stale));
    scene.ready(0);
    assert_eq!(follow(&mut scene, 0, 71), Ok(()));
    assert_eq!(scene.system.status(id(0)).unwrap().pid, Some(71));
    scene.check();
    // The end of what was made is nobody's; that of what is followed is the service's.
    let exit = Exit::Code(0);
    assert_eq!(scene.input(Input::Exited { service: id(0), pid: made, exit }), Err(InputError::Stale));
    scene.stop(0);
    assert_eq!(follow(&mut scene, 0, 72), Err(InputError::NotFollowed));
    scene.exit(0, exit);
    assert_eq!(scene.phase(0), Phase::Stopped);
    scene.start(1);
    scene.spawned(1);
    assert_eq!(follow(&mut scene, 1, 73), Err(InputError::NotFollowed));
    scene.check();
}
