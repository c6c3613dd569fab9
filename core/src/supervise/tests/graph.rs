//! Which relations there can be, and services that come and go.

use super::*;

#[test]
fn cycles_are_refused_and_named() {
    let mut system: System<4, 4> = System::new();
    let [a, b, c] = [(); 3].map(|()| system.add(Policy::default()).unwrap());
    system.relate(a, Relation::Needs, b).unwrap();
    system.relate(b, Relation::Needs, c).unwrap();
    system.relate(a, Relation::Needs, b).unwrap();
    let Err(RelateError::Cycle(cycle)) = system.relate(c, Relation::Needs, a) else {
        panic!("accepted a cycle")
    };
    assert_eq!(cycle.iter().collect::<Vec<_>>(), [c, a, b]);
    assert_eq!(format!("{}", RelateError::Cycle(cycle)), "services wait for each other: 2 -> 0 -> 1 -> 2");
    let Err(RelateError::Cycle(own)) = system.relate(a, Relation::Needs, a) else {
        panic!("accepted a need of itself")
    };
    assert_eq!(own.iter().collect::<Vec<_>>(), [a]);
    assert_eq!(system.relate(a, Relation::Needs, id(9)), Err(RelateError::UnknownService));
    system.relate(a, Relation::Needs, c).unwrap();
    assert_eq!(system.needs(a).collect::<Vec<_>>(), [c, b]);
    let d = system.add(Policy::default()).unwrap();
    system.relate(d, Relation::Needs, a).unwrap();
    assert_eq!(system.relate(d, Relation::Needs, b), Err(RelateError::Full));
    assert_eq!(system.add(Policy::default()), Err(AddError));
}

#[test]
fn what_could_never_start_is_refused() {
    use Relation::{Conflicts, Needs};
    let conflict = |of, one, other| Err(RelateError::Conflict { of: id(of), between: [id(one), id(other)] });
    let mut system = build(&[Policy::default(); 4], &[(2, Needs, 0), (2, Needs, 1)]);
    assert_eq!(system.relate(id(0), Conflicts, id(1)), conflict(2, 0, 1));
    assert_eq!(system.relate(id(0), Conflicts, id(2)), conflict(2, 0, 2));
    assert_eq!(system.relate(id(0), Conflicts, id(0)), conflict(0, 0, 0));
    system.relate(id(3), Conflicts, id(1)).unwrap();
    system.relate(id(1), Conflicts, id(3)).unwrap();
    assert_eq!(system.relations(id(1)).count(), 0, "that is the same conflict");
    assert_eq!(system.relate(id(3), Needs, id(1)), conflict(3, 1, 3));
    assert_eq!(system.relate(id(3), Needs, id(2)), conflict(3, 1, 3));
    assert_eq!(system.relate(id(2), Needs, id(3)), conflict(2, 3, 1));
    assert_eq!(
        format!("{}", system.relate(id(2), Needs, id(3)).unwrap_err()),
        "2 would need 3 and 1, which conflict"
    );
    assert_eq!(system.relations(id(2)).count(), 2, "nothing is half done");
    system.relate(id(3), Needs, id(0)).unwrap();
}

#[test]
fn services_come_and_go() {
    use Relation::{Conflicts, Needs, Wants};
    let mut scene = Scene::needing(&[notifying(); 3], &[(1, 0), (2, 1)]);
    scene.start(2);
    scene.spawned(0);
    assert_eq!(scene.system.remove(id(0)), Err(RemoveError::NotDown(Phase::Starting)));
    assert_eq!(scene.system.remove(id(1)), Err(RemoveError::Related(id(2))));
    assert_eq!(scene.system.remove(id(3)), Err(RemoveError::UnknownService));
    scene.system.unrelate(id(2)).unwrap();
    scene.drain();
    assert_eq!(scene.told(), "0 spawn, 0 starting, 2 spawn", "nothing holds it any more");
    scene.system.remove(id(1)).unwrap();
    scene.drain();
    assert_eq!(scene.system.status(id(1)), None);
    assert_eq!(scene.input(Input::Start(id(1))), Err(InputError::UnknownService));
    assert_eq!(scene.system.services().count(), 2);
    assert_eq!(scene.system.remove(id(1)), Err(RemoveError::UnknownService));
    let place = scene.system.add(on_demand()).unwrap();
    assert_eq!(place, id(1), "its place is used again");
    assert_eq!(scene.system.relations(place).count(), 0);
    scene.system.relate(place, Wants, id(0)).unwrap();
    scene.start(1);
    assert_eq!(scene.told(), "");
    scene.ready(0);
    assert_eq!(scene.told(), "0 ready, 1 waiting");
    scene.spawned(2);
    // Of two that conflict from now on, the second goes.
    scene.system.relate(place, Conflicts, id(2)).unwrap();
    scene.drain();
    assert_eq!(scene.told(), "2 starting, 2 stopping, 2 signal 15");
    assert!(scene.system.relate(id(1), Needs, id(2)).is_err());
    scene.exit(2, Exit::Code(0));
    scene.stop(1);
    scene.system.remove(id(2)).unwrap_err();
    scene.system.remove(place).unwrap();
    scene.system.remove(id(2)).unwrap();
    scene.check_free();
}

impl Scene {
    fn check_free(&self) {
        assert_eq!(self.system.services().count(), 1);
        assert_eq!(self.system.conflicts, 0);
        assert_eq!(self.system.busy, 1);
    }
}

/// A ticket of a service that was removed is not taken for one of its successor.
#[test]
fn a_place_that_is_used_again_remembers_its_tickets() {
    let mut scene = Scene::new(&[Policy { restart: Restart::Never, ..notifying() }], &[]);
    scene.start(0);
    let stale = scene.world.ticket[0].unwrap();
    scene.not_spawned(0);
    scene.system.remove(id(0)).unwrap();
    scene.system.add(notifying()).unwrap();
    scene.start(0);
    let ticket = SpawnTicket { service: id(0), run: stale };
    assert_eq!(scene.input(Input::Spawned { ticket, pid: 1 }), Err(InputError::Stale));
    scene.spawned(0);
}
