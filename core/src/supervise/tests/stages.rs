//! Stages of a boot.

use super::*;

fn staged(stage: u8) -> Policy {
    Policy { stage, ..notifying() }
}

#[test]
fn stages_start_one_after_the_other_and_stop_in_reverse() {
    let once = Policy { restart: Restart::Never, ..staged(0) };
    let mut scene = Scene::new(&[staged(7), staged(200), once, on_demand()], &[]);
    for service in (0..4).map(id) {
        scene.system.handle(scene.now, Input::Start(service)).unwrap();
    }
    scene.drain();
    assert_eq!(scene.told(), "2 spawn, 3 waiting");
    scene.spawned(2);
    scene.exit(2, Exit::Code(1));
    assert_eq!(scene.told(), "2 starting, 2 failed, 0 spawn", "a failure does not end the boot");
    scene.spawned(0);
    scene.ready(0);
    assert_eq!(scene.told(), "0 starting, 0 ready, 1 spawn");
    scene.spawned(1);
    scene.ready(1);
    assert!(scene.system.is_settled());
    // What has been there comes back without asking what is on its way in lower stages.
    scene.start(2);
    scene.exit(1, Exit::Code(1));
    assert_eq!(scene.told(), "1 starting, 1 ready, 2 spawn, 1 backoff, 1 spawn");
    scene.spawned(1);
    scene.spawned(2);
    scene.told();
    scene.input(Input::Shutdown).unwrap();
    assert_eq!(scene.told(), "1 stopping, 1 signal 15");
    scene.exit(1, Exit::Code(0));
    assert_eq!(scene.told(), "1 stopped, 0 stopping, 0 signal 15");
    scene.exit(0, Exit::Code(0));
    assert_eq!(scene.told(), "0 stopped, 2 stopping, 2 signal 15, 3 stopped");
    scene.exit(2, Exit::Code(0));
    assert_eq!(scene.told(), "2 stopped, down");
}

#[test]
fn what_an_early_stage_needs_is_early() {
    let mut scene = Scene::needing(&[staged(9), staged(0)], &[(1, 0)]);
    scene.start(1);
    scene.spawned(0);
    scene.ready(0);
    assert_eq!(scene.told(), "0 spawn, 0 starting, 0 ready, 1 spawn");
}
