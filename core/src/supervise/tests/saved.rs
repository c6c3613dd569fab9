//! Lives that go on in another system.

use super::*;

impl Scene {
    /// The same services in a new system, with the lives of these.
    pub(super) fn again(&self, policies: &[Policy], said: &[Said]) -> Self {
        let mut system = build(policies, said);
        for service in (0..self.count()).map(id) {
            let saved = self.system.save(service).unwrap();
            let bytes = saved.encode();
            assert_eq!(Saved::decode(&bytes), Some(saved), "{:?}", self.system.slots[service.index()].life);
            system.restore(service, saved).unwrap();
        }
        let mut scene = Self { system, world: self.world.clone(), now: self.now };
        scene.world.told.clear();
        scene.world.quiet = false;
        scene.world.ticket.fill(None);
        if self.system.course != Course::Run {
            let input = if self.system.abort { Input::Abort } else { Input::Shutdown };
            scene.system.handle(scene.now, input).unwrap();
        }
        scene.world.down = false;
        scene.input(Input::Tick).unwrap();
        scene
    }

    /// A re-execution here changes nothing but what becomes of tickets.
    pub(super) fn executes_anew(&self, policies: &[Policy], said: &[Said]) {
        let mut again = self.again(policies, said);
        again.check();
        if self.world.ticket.iter().all(Option::is_none) {
            let told = again.told();
            assert_eq!(told.trim_start_matches("down"), "", "a re-execution is seen");
            assert_eq!(again.world.down, self.world.down);
            for (old, new) in self.system.slots.iter().zip(&again.system.slots) {
                assert_eq!(old.life, new.life);
            }
        }
    }
}

/// Whatever bytes say, they are a life that can be written again, or none.
#[test]
fn a_changed_bit_is_another_life_or_none() {
    let mut scene = Scene::new(&[notifying(), Policy { undo: true, ..oneshot() }, on_demand()], &[]);
    for service in 0..3 {
        scene.start(service);
    }
    scene.spawned(0);
    scene.spawned(1);
    scene.stop(0);
    let (mut lives, mut refused) = (0, 0);
    for service in (0..3).map(id) {
        let bytes = scene.system.save(service).unwrap().encode();
        for bit in 0..8 * Saved::LEN {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            match Saved::decode(&changed) {
                Some(saved) => {
                    lives += 1;
                    assert_eq!(saved.encode(), changed, "bit {bit}");
                }
                None => refused += 1,
            }
        }
    }
    assert!(lives > 300 && refused > 300, "{lives} {refused}");
    assert_eq!(Saved::decode(&[0; Saved::LEN]), None);
    assert_eq!(Saved::decode(&[0xFF; Saved::LEN]), None);
}

#[test]
fn a_life_is_given_only_to_who_has_none() {
    let mut scene = Scene::new(&[notifying()], &[]);
    let saved = scene.system.save(id(0)).unwrap();
    scene.start(0);
    assert_eq!(scene.system.restore(id(0), saved), Err(RestoreError::NotNew));
    assert_eq!(scene.system.restore(id(1), saved), Err(RestoreError::UnknownService));
    assert_eq!(scene.system.save(id(1)), None);
}

/// Definitions can be other ones by the time that lives are given back.
#[test]
fn a_life_fits_into_what_its_service_is_now() {
    let policies = [on_demand(), oneshot(), notifying(), notifying()];
    let mut scene = Scene::new(&policies, &[]);
    for service in 0..4 {
        scene.start(service);
    }
    for service in [1, 2, 3] {
        scene.spawned(service);
    }
    scene.exit(1, Exit::Code(0));
    scene.ready(2);
    scene.told();
    let other = [notifying(), notifying(), notifying(), notifying()];
    let mut again = scene.again(&other, &[(3, Relation::Conflicts, 2)]);
    assert_eq!(
        again.told(),
        "3 stopping, 3 signal 15, 0 stopped, 0 spawn, 1 stopped, 1 spawn",
        "what waited and what was done start as daemons, and of two that conflict now, one goes"
    );
}

#[test]
fn what_changed_is_named_once() {
    let mut scene = Scene::needing(&[notifying(), Policy::default()], &[(1, 0)]);
    assert_eq!(scene.system.changed(), None);
    scene.start(1);
    let mut changed: Vec<_> = core::iter::from_fn(|| scene.system.changed()).collect();
    changed.sort();
    assert_eq!(changed, [id(0), id(1)]);
    scene.spawned(0);
    assert_eq!(scene.system.changed(), Some(id(0)));
    assert_eq!(scene.system.changed(), None);
}
