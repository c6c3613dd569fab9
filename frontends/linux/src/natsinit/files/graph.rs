//! All services together: what each says of the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::definition::Definition;
use super::Loaded;
use super::folder::Source;
use super::read::{self, Edge};
use super::world::World;
use crate::config::{Mistake, Mistakes, Place};

/// Why a service is left out whose own file is wrong.
pub(super) const MISTAKE: &str = "its file has a mistake";

/// A service on its way.
struct Node {
    definition: Definition,
    edges: Vec<Edge>,
}

/// What is left of `sources` once everything that is wrong has been found.
pub(super) fn check(sources: Vec<Source>, mistakes: Vec<Mistake>, world: &World) -> Loaded {
    let given = &world.services;
    let mut graph = Graph { nodes: BTreeMap::new(), out: BTreeMap::new(), mistakes, given };
    let names: BTreeSet<String> = sources.iter().map(|source| source.name.clone()).collect();
    for Source { name, mut section, broken } in sources {
        let (definition, edges) = read::definition(&mut section, &name, world);
        let mut wrong = broken;
        if !broken {
            let found = section.finish().err().map(Mistakes::into_vec).unwrap_or_default();
            wrong = !found.is_empty();
            graph.mistakes.extend(found);
        }
        for edge in edges.iter().filter(|edge| ["needs", "conflicts"].contains(&edge.key)) {
            if !names.contains(&edge.on) && !given.contains(&edge.on) && !broken {
                wrong = true;
                let line = unknown(edge, names.iter().chain(given).map(String::as_str));
                graph.mistakes.push(Mistake::new(edge.place.clone(), line));
            }
        }
        if wrong {
            graph.out.insert(name, MISTAKE.to_owned());
        } else {
            graph.nodes.insert(name, Node { definition, edges });
        }
    }
    graph.without_rings();
    graph.without_contradictions();
    graph.without_needs();
    let Graph { nodes, out, mut mistakes, .. } = graph;
    mistakes.sort_unstable();
    mistakes.dedup();
    let definitions = nodes.into_values().map(|node| node.definition).collect();
    Loaded { definitions, left_out: out.into_iter().collect(), mistakes }
}

fn unknown<'a>(edge: &Edge, names: impl Iterator<Item = &'a str>) -> String {
    let near = names
        .map(|name| (crate::cli::distance(name, &edge.on), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4);
    match near {
        Some((_, near)) => format!("{}: there is no service '{}', did you mean '{near}'?", edge.key, edge.on),
        None => format!("{}: there is no service '{}'", edge.key, edge.on),
    }
}

struct Graph<'w> {
    nodes: BTreeMap<String, Node>,
    /// Left out, and why.
    out: BTreeMap<String, String>,
    mistakes: Vec<Mistake>,
    /// Services without a file.
    given: &'w [String],
}

impl Graph<'_> {
    /// Leaves out the services that wait for one another, and says how.
    fn without_rings(&mut self) {
        while let Some(ring) = self.ring() {
            let Some((first, _)) = ring.first() else { return };
            let place = first.place.clone();
            let steps: Vec<String> = ring
                .iter()
                .map(|(edge, of)| {
                    let file = edge.place.file().display();
                    format!("{of} {} {} ({file}:{})", verb(edge.key), edge.on, edge.place.line())
                })
                .collect();
            let line =
                format!("{}: a ring, in which each waits for the next: {}", first.key, steps.join(", "));
            self.mistakes.push(Mistake::new(place, line));
            for (_, of) in ring {
                self.nodes.remove(&of);
                self.out.insert(of, MISTAKE.to_owned());
            }
        }
    }

    /// A short ring: each edge and whose it is, from the least name on.
    fn ring(&self) -> Option<Vec<(Edge, String)>> {
        let start = self.on_a_ring()?;
        // Breadth first from `start` back to it.
        let mut from: BTreeMap<&str, (&Edge, &str)> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        'search: while let Some(at) = queue.pop_front() {
            for edge in self.waits(at) {
                let on = edge.on.as_str();
                if !from.contains_key(on) && self.nodes.contains_key(on) {
                    from.insert(on, (edge, at));
                    if on == start {
                        break 'search;
                    }
                    queue.push_back(on);
                }
            }
        }
        let mut ring = Vec::new();
        let mut at = start;
        while let Some((edge, of)) = from.get(at) {
            ring.push(((*edge).clone(), (*of).to_owned()));
            at = of;
            if at == start {
                break;
            }
        }
        ring.reverse();
        let least = (0..ring.len()).min_by_key(|at| ring.get(*at).map(|(_, of)| of))?;
        ring.rotate_left(least);
        Some(ring)
    }

    /// Some service that can be reached from itself: depth first, it is met again while what it waits for is looked at.
    fn on_a_ring(&self) -> Option<&str> {
        // Whether all that can be reached from there has been looked at.
        let mut seen: BTreeMap<&str, bool> = BTreeMap::new();
        for root in self.nodes.keys().map(String::as_str) {
            if seen.contains_key(root) {
                continue;
            }
            seen.insert(root, false);
            let mut path = vec![(root, self.waits(root))];
            while let Some((at, edges)) = path.last_mut() {
                let Some(edge) = edges.next() else {
                    seen.insert(at, true);
                    path.pop();
                    continue;
                };
                let Some((on, _)) = self.nodes.get_key_value(&edge.on) else { continue };
                match seen.get(on.as_str()) {
                    Some(true) => {}
                    Some(false) => return Some(on),
                    None => {
                        seen.insert(on, false);
                        path.push((on, self.waits(on)));
                    }
                }
            }
        }
        None
    }

    /// What `name` waits for.
    fn waits(&self, name: &str) -> impl Iterator<Item = &Edge> {
        let edges = self.nodes.get(name).map(|node| node.edges.as_slice()).unwrap_or_default();
        edges.iter().filter(|edge| edge.key != "conflicts")
    }

    /// All services that can be reached from `name` by one step or more of these kinds.
    fn reaches(&self, name: &str, keys: &[&str]) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut queue = vec![name];
        while let Some(at) = queue.pop() {
            let edges = self.nodes.get(at).map(|node| node.edges.as_slice()).unwrap_or_default();
            for edge in edges.iter().filter(|edge| keys.contains(&edge.key)) {
                if let Some((on, _)) = self.nodes.get_key_value(&edge.on)
                    && reached.insert(on.as_str())
                {
                    queue.push(on);
                }
            }
        }
        reached
    }

    /// Leaves out the services that need what must not run together.
    fn without_contradictions(&mut self) {
        let pairs: Vec<(&str, &Edge)> = self
            .nodes
            .iter()
            .flat_map(|(name, node)| node.edges.iter().map(move |edge| (name.as_str(), edge)))
            .filter(|(_, edge)| edge.key == "conflicts" && self.nodes.contains_key(&edge.on))
            .collect();
        if pairs.is_empty() {
            return;
        }
        let mut found: Vec<(String, Place, String)> = Vec::new();
        for name in self.nodes.keys() {
            let mut all = self.reaches(name, &["needs"]);
            all.insert(name);
            for (one, edge) in &pairs {
                if all.contains(one) && all.contains(edge.on.as_str()) {
                    let at = format!("{}:{}", edge.place.file().display(), edge.place.line());
                    let line = if one == name {
                        format!("conflicts: it needs '{}'", edge.on)
                    } else {
                        format!("conflicts: '{name}' needs both this and '{}' ({at})", edge.on)
                    };
                    found.push((name.clone(), edge.place.clone(), line));
                }
            }
        }
        for (name, place, line) in found {
            self.mistakes.push(Mistake::new(place, line));
            self.nodes.remove(&name);
            self.out.insert(name, MISTAKE.to_owned());
        }
    }

    /// Leaves out the services that need what is left out.
    fn without_needs(&mut self) {
        loop {
            let gone = self.nodes.iter().find_map(|(name, node)| {
                let needs = node.edges.iter().filter(|edge| edge.key == "needs");
                let gone = needs
                    .into_iter()
                    .find(|edge| !self.nodes.contains_key(&edge.on) && !self.given.contains(&edge.on))?;
                Some((name.clone(), gone.on.clone()))
            });
            let Some((name, on)) = gone else { return };
            self.nodes.remove(&name);
            self.out.insert(name, format!("it needs {on}"));
        }
    }
}

/// `a needs b`, `a is after b`
fn verb(key: &str) -> &str {
    if key == "after" { "is after" } else { key }
}
