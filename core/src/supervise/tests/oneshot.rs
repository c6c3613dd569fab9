//! Work that is done, and undone.

use super::*;

#[test]
fn a_oneshot_is_ready_when_its_work_is_done_and_is_undone_when_it_stops() {
    let work = Policy { undo: true, ..oneshot() };
    let mut scene = Scene::needing(&[work, Policy::default()], &[(1, 0)]);
    scene.start(1);
    scene.spawned(0);
    assert_eq!(scene.told(), "0 spawn, 0 starting");
    scene.exit(0, Exit::Code(0));
    assert_eq!(scene.told(), "0 ready, 1 spawn");
    scene.start(0);
    assert_eq!(scene.told(), "", "done is done");
    scene.spawned(1);
    scene.told();
    scene.input(Input::Shutdown).unwrap();
    scene.exit(1, Exit::Signal(15));
    assert_eq!(scene.told(), "1 stopping, 1 signal 15, 1 stopped, 0 stopping, 0 undo");
    scene.spawned(0);
    scene.exit(0, Exit::Code(0));
    assert_eq!(scene.told(), "0 stopped, down");
}

#[test]
fn an_undoing_process_that_hangs_is_killed() {
    let mut scene = Scene::new(&[Policy { undo: true, ..oneshot() }], &[]);
    scene.start(0);
    scene.spawned(0);
    scene.exit(0, Exit::Code(0));
    scene.told();
    scene.stop(0);
    scene.spawned(0);
    assert_eq!(scene.system.next_deadline(), Some(scene.now + 5 * SECOND));
    scene.pass(5 * SECOND);
    scene.exit(0, Exit::Signal(9));
    assert_eq!(scene.told(), "0 stopping, 0 undo, 0 signal 9, 0 stopped");
    scene.start(0);
    scene.not_spawned(0);
    assert_eq!(scene.told(), "0 spawn, 0 failed");
}

#[test]
fn a_oneshot_that_is_restarted_is_undone_and_done_again() {
    let mut scene = Scene::new(&[Policy { undo: true, ..oneshot() }], &[]);
    scene.start(0);
    scene.spawned(0);
    scene.exit(0, Exit::Code(0));
    scene.told();
    scene.input(Input::Restart(id(0))).unwrap();
    scene.spawned(0);
    scene.exit(0, Exit::Code(7));
    assert_eq!(scene.told(), "0 stopping, 0 undo, 0 stopped, 0 spawn");
}
