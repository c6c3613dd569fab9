//! Services that wait for what starts them.

use super::*;

#[test]
fn a_trigger_makes_a_process_and_another_one_later() {
    let socket = Policy { kind: Kind::Longrun, ..on_demand() };
    let mut scene = Scene::needing(&[socket, Policy::default()], &[(1, 0)]);
    assert!(matches!(
        scene.input(Input::Trigger(id(0))),
        Err(InputError::Impossible(Phase::Stopped, Event::Trigger, _))
    ));
    scene.start(1);
    assert_eq!(scene.told(), "0 waiting, 1 spawn", "who needs it starts before it");
    scene.input(Input::Trigger(id(0))).unwrap();
    scene.input(Input::Trigger(id(0))).unwrap();
    scene.spawned(0);
    assert_eq!(scene.told(), "0 spawn, 0 starting, 0 ready");
    scene.pass(20 * SECOND);
    scene.exit(0, Exit::Code(0));
    assert_eq!(scene.told(), "0 waiting");
    assert_eq!(scene.system.next_deadline(), None);
    scene.input(Input::Trigger(id(0))).unwrap();
    scene.spawned(0);
    assert_eq!(scene.system.status(id(0)).unwrap().restarts, 0);
    scene.exit(0, Exit::Signal(11));
    assert_eq!(scene.told(), "0 spawn, 0 starting, 0 ready, 0 backoff, 0 spawn", "a crash is no end");
}

/// The connection that woke it is still there when it ends: systemd's trigger limit.
#[test]
fn a_service_that_leaves_its_trigger_behind_does_not_spin() {
    let mut scene = Scene::new(&[on_demand()], &[]);
    scene.start(0);
    let mut runs = 0;
    let mut waited = Duration::ZERO;
    while scene.phase(0) != Phase::Failed {
        if scene.phase(0) == Phase::Waiting {
            scene.input(Input::Trigger(id(0))).unwrap();
            scene.spawned(0);
            scene.exit(0, Exit::Code(0));
            runs += 1;
        } else {
            let next = scene.system.next_deadline().unwrap();
            waited += next.since(scene.now);
            scene.pass(next.since(scene.now));
        }
        assert!(runs < 100);
    }
    assert_eq!(runs, 11);
    assert!(waited > 50 * SECOND);
}

#[test]
fn a_timer_that_fails_every_day_is_tried_every_day() {
    let job = Policy { on_demand: true, ..oneshot() };
    let mut scene = Scene::new(&[job], &[]);
    scene.start(0);
    for _ in 0..100 {
        scene.pass(86_400 * SECOND);
        scene.input(Input::Trigger(id(0))).unwrap();
        scene.spawned(0);
        scene.exit(0, Exit::Code(1));
        assert_eq!(scene.phase(0), Phase::Waiting);
    }
    // And one that works may work as often as it is asked to.
    for _ in 0..100 {
        scene.input(Input::Trigger(id(0))).unwrap();
        scene.spawned(0);
        scene.exit(0, Exit::Code(0));
        assert_eq!(scene.phase(0), Phase::Waiting);
    }
}

#[test]
fn a_trigger_waits_for_what_the_service_needs() {
    let mut scene = Scene::needing(&[Policy::default(), on_demand()], &[(1, 0)]);
    scene.start(1);
    scene.spawned(0);
    assert_eq!(scene.told(), "0 spawn, 0 starting, 0 ready, 1 waiting");
    scene.exit(0, Exit::Signal(9));
    scene.input(Input::Trigger(id(1))).unwrap();
    assert_eq!(scene.told(), "0 backoff, 0 spawn");
    scene.spawned(0);
    assert_eq!(scene.told(), "0 starting, 0 ready, 1 spawn");
}
