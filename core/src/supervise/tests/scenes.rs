//! Scenes from a service's life.

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
