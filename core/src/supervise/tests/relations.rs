//! What services say of each other, in their lives.

use super::*;

#[test]
fn services_start_when_their_needs_are_ready_and_stop_in_reverse() {
    let mut scene = Scene::needing(&[notifying(), notifying(), notifying()], &[(1, 0), (2, 1)]);
    scene.start(2);
    assert_eq!(scene.told(), "0 spawn");
    scene.spawned(0);
    assert_eq!(scene.told(), "0 starting");
    scene.ready(0);
    assert_eq!(scene.told(), "0 ready, 1 spawn");
    scene.spawned(1);
    scene.ready(1);
    scene.spawned(2);
    scene.ready(2);
    assert_eq!(scene.told(), "1 starting, 1 ready, 2 spawn, 2 starting, 2 ready");
    scene.input(Input::Shutdown).unwrap();
    assert_eq!(scene.told(), "2 stopping, 2 signal 15");
    scene.exit(2, Exit::Code(0));
    assert_eq!(scene.told(), "2 stopped, 1 stopping, 1 signal 15");
    scene.exit(1, Exit::Signal(15));
    scene.exit(0, Exit::Code(0));
    assert_eq!(scene.told(), "1 stopped, 0 stopping, 0 signal 15, 0 stopped, down");
    assert_eq!(scene.system.next_deadline(), None);
    assert_eq!(scene.input(Input::Start(id(0))), Err(InputError::ShuttingDown));
}

/// dinit: a dependency that fails while others wait for it.
#[test]
fn what_needs_a_failed_service_has_failed_and_starts_when_that_is_back() {
    let once = Policy { restart: Restart::Never, ..notifying() };
    let mut scene = Scene::needing(&[once, Policy::default(), Policy::default()], &[(1, 0), (2, 1)]);
    scene.start(2);
    scene.spawned(0);
    scene.exit(0, Exit::Code(1));
    assert_eq!(scene.told(), "0 spawn, 0 starting, 0 failed, 1 failed, 2 failed");
    assert_eq!(scene.system.holders(id(2)).collect::<Vec<_>>(), [id(1)]);
    assert!(scene.system.is_settled());
    scene.start(0);
    scene.spawned(0);
    assert_eq!(scene.told(), "0 spawn, 0 starting");
    scene.ready(0);
    scene.spawned(1);
    scene.spawned(2);
    assert_eq!(scene.told(), "0 ready, 1 spawn, 1 starting, 1 ready, 2 spawn, 2 starting, 2 ready");
    // What runs does not end because of it.
    scene.exit(0, Exit::Code(1));
    assert_eq!(scene.told(), "0 failed");
    scene.exit(1, Exit::Code(1));
    assert_eq!(scene.told(), "1 backoff, 1 failed", "but it cannot come back");
}

#[test]
fn wants_are_waited_for_but_their_failure_is_not_ones_own() {
    let once = Policy { restart: Restart::Never, ..notifying() };
    let mut scene = Scene::new(&[once, notifying()], &[(1, Relation::Wants, 0)]);
    scene.start(1);
    assert_eq!(scene.told(), "0 spawn");
    scene.spawned(0);
    scene.exit(0, Exit::Code(1));
    assert_eq!(scene.told(), "0 starting, 0 failed, 1 spawn");
    scene.spawned(1);
    scene.start(0);
    scene.spawned(0);
    scene.told();
    scene.stop(0);
    assert_eq!(scene.told(), "0 stopping, 0 signal 15", "who only wants it stays");
    scene.exit(0, Exit::Code(0));
    scene.start(0);
    scene.spawned(0);
    scene.told();
    scene.input(Input::Shutdown).unwrap();
    assert_eq!(scene.told(), "1 stopping, 1 signal 15", "who wants it stops first");
}

/// A service that crashes for ever must not hold up those that only want it.
#[test]
fn a_second_crash_ends_the_wait_of_who_wants_it() {
    let mut scene = Scene::new(&[notifying(), Policy::default()], &[(1, Relation::Wants, 0)]);
    scene.start(1);
    scene.spawned(0);
    scene.exit(0, Exit::Code(1));
    assert_eq!(scene.told(), "0 spawn, 0 starting, 0 backoff, 0 spawn");
    scene.spawned(0);
    scene.exit(0, Exit::Code(1));
    assert_eq!(scene.told(), "0 starting, 0 backoff, 1 spawn");
}

#[test]
fn an_order_starts_nothing() {
    let mut scene = Scene::new(&[notifying(), Policy::default()], &[(1, Relation::After, 0)]);
    scene.start(1);
    assert_eq!(scene.told(), "1 spawn");
    scene.spawned(1);
    scene.stop(1);
    scene.exit(1, Exit::Code(0));
    scene.told();
    // Both at once, in the wrong order: poll is drained after both.
    scene.system.handle(scene.now, Input::Start(id(1))).unwrap();
    scene.system.handle(scene.now, Input::Start(id(0))).unwrap();
    scene.drain();
    assert_eq!(scene.told(), "0 spawn");
    scene.spawned(0);
    scene.ready(0);
    assert_eq!(scene.told(), "0 starting, 0 ready, 1 spawn");
}

#[test]
fn of_two_that_conflict_the_one_that_is_started_stays() {
    let policies = [notifying(), Policy::default(), Policy::default()];
    let mut scene = Scene::new(&policies, &[(1, Relation::Conflicts, 0), (2, Relation::Needs, 0)]);
    scene.start(2);
    scene.spawned(0);
    scene.ready(0);
    scene.spawned(2);
    scene.told();
    scene.start(1);
    assert_eq!(scene.told(), "2 stopping, 2 signal 15", "and who needs the other one goes first");
    scene.exit(2, Exit::Code(0));
    assert_eq!(scene.told(), "2 stopped, 0 stopping, 0 signal 15");
    // Another mind while the other is stopping: it comes back, and the new one never came.
    scene.start(2);
    assert_eq!(scene.told(), "");
    scene.exit(0, Exit::Code(0));
    assert_eq!(scene.told(), "0 stopped, 0 spawn");
    assert!(!scene.system.is_wanted(id(1)));
    scene.start(1);
    assert_eq!(scene.told(), "0 stopping", "stop while starting");
    scene.spawned(0);
    scene.exit(0, Exit::Signal(15));
    assert_eq!(scene.told(), "0 signal 15, 0 stopped, 1 spawn");
}

#[test]
fn what_is_only_wanted_is_left_out_if_it_conflicts() {
    let policies = [Policy::default(); 3];
    let said = [(2, Relation::Needs, 1), (2, Relation::Wants, 0), (0, Relation::Conflicts, 1)];
    let mut scene = Scene::new(&policies, &said);
    scene.start(2);
    scene.spawned(1);
    scene.spawned(2);
    assert_eq!(scene.told(), "1 spawn, 1 starting, 1 ready, 2 spawn, 2 starting, 2 ready");
    assert!(!scene.system.is_wanted(id(0)));
}

#[test]
fn what_conflicts_with_the_undead_waits_and_says_so() {
    let mut scene = Scene::new(&[Policy::default(); 2], &[(1, Relation::Conflicts, 0)]);
    scene.start(0);
    scene.spawned(0);
    scene.start(1);
    scene.pass(5 * SECOND);
    scene.told();
    scene.pass(2 * SECOND);
    assert_eq!(scene.told(), "0 failed, 1 failed");
    scene.exit(0, Exit::Signal(9));
    assert_eq!(scene.told(), "0 stopped, 1 spawn");
}
