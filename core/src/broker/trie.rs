//! The subscribed subjects as a trie of tokens. A child is found by the hash of its parent and token;
//! `*` and `>` are direct links.

use super::memory::Tables;
use super::pool::{Buckets, Link, Linked, NONE, Pool, at, at_mut, hash};
use super::text::Text;

/// A token of a subscribed subject, in its place below those before it.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    link: Link,
    pub(super) parent: u32,
    /// The child `*`.
    pub(super) star: u32,
    /// The child `>`, which has no children.
    pub(super) tail: u32,
    /// How many other children there are.
    pub(super) literals: u32,
    /// The first subscription to the subject that ends here.
    pub(super) subscriptions: u32,
    pub(super) token: Text<15>,
}

impl Node {
    /// A slot that was never used.
    pub const EMPTY: Self = Self {
        link: Link::EMPTY,
        parent: NONE,
        star: NONE,
        tail: NONE,
        literals: 0,
        subscriptions: NONE,
        token: Text::EMPTY,
    };

    fn is_bare(&self) -> bool {
        self.subscriptions == NONE && self.literals == 0 && self.star == NONE && self.tail == NONE
    }
}

impl Linked for Node {
    fn link(&self) -> &Link {
        &self.link
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

/// The trie's bookkeeping; its nodes are in [`Tables::nodes`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Trie {
    seed: u64,
    pool: Pool,
    buckets: Buckets,
}

/// Where a subject leaves the tokens that are there already.
pub(super) struct Fork<'b> {
    /// The deepest node that is there.
    pub(super) node: u32,
    /// The tokens below it that are missing.
    pub(super) missing: Option<&'b [u8]>,
}

impl<'b> Fork<'b> {
    fn tokens(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        self.missing.into_iter().flat_map(|rest| rest.split(|&byte| byte == b'.'))
    }

    /// How many nodes and chunks are missing.
    pub(super) fn needs(&self) -> (usize, usize) {
        self.tokens().fold((0, 0), |(nodes, chunks), token| (nodes + 1, chunks + Text::<15>::chunks(token)))
    }
}

impl Trie {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, pool: Pool::NEW, buckets: Buckets::NEW }
    }

    pub(super) fn room(&self, tables: &Tables<'_>) -> usize {
        self.pool.room(tables.nodes.len())
    }

    /// A node without a parent, from which subjects hang; `None` if there is no room.
    pub(super) fn root(&mut self, tables: &mut Tables<'_>) -> Option<u32> {
        self.node(tables, NONE, Text::EMPTY)
    }

    fn node(&mut self, tables: &mut Tables<'_>, parent: u32, token: Text<15>) -> Option<u32> {
        let index = self.pool.take(tables.nodes)?;
        let node = at_mut(tables.nodes, index)?;
        *node = Node { link: node.link, parent, token, ..Node::EMPTY };
        Some(index)
    }

    /// The child of `parent` whose token is `token`, literally.
    pub(super) fn literal(&self, tables: &Tables<'_>, parent: u32, token: &[u8]) -> Option<u32> {
        let chunks = &*tables.chunks;
        self.buckets.find(tables.nodes, hash(self.seed, parent, token), |node| {
            node.parent == parent && node.token.is(chunks, token)
        })
    }

    fn child(&self, tables: &Tables<'_>, parent: u32, token: &[u8]) -> Option<u32> {
        let node = at(tables.nodes, parent)?;
        let child = match token {
            b"*" => node.star,
            b">" => node.tail,
            _ => return self.literal(tables, parent, token),
        };
        (child != NONE).then_some(child)
    }

    /// Follows the tokens of the valid pattern `subject` from `root` as far as they are there.
    pub(super) fn fork<'b>(&self, tables: &Tables<'_>, root: u32, subject: &'b [u8]) -> Fork<'b> {
        let mut fork = Fork { node: root, missing: Some(subject) };
        while let Some(rest) = fork.missing {
            let (token, after) = split_token(rest);
            let Some(child) = self.child(tables, fork.node, token) else { break };
            fork = Fork { node: child, missing: after };
        }
        fork
    }

    /// Adds what is missing; answers the node of the whole subject. The caller has made sure of the room.
    pub(super) fn extend(
        &mut self,
        tables: &mut Tables<'_>,
        chunk_pool: &mut Pool,
        fork: &Fork<'_>,
    ) -> Option<u32> {
        let mut parent = fork.node;
        for token in fork.tokens() {
            let literal = !matches!(token, b"*" | b">");
            let text = if literal { Text::store(token, tables.chunks, chunk_pool)? } else { Text::EMPTY };
            let child = self.node(tables, parent, text)?;
            let above = at_mut(tables.nodes, parent)?;
            match token {
                b"*" => above.star = child,
                b">" => above.tail = child,
                _ => above.literals += 1,
            }
            if literal {
                self.buckets.insert(tables.nodes, child, hash(self.seed, parent, token));
            }
            parent = child;
        }
        Some(parent)
    }

    /// Frees `node` and those above it that nothing hangs from any more.
    pub(super) fn prune(&mut self, tables: &mut Tables<'_>, chunk_pool: &mut Pool, mut node: u32) {
        while let Some(&Node { parent, mut token, .. }) = at(tables.nodes, node).filter(|node| node.is_bare())
        {
            let Some(above) = at_mut(tables.nodes, parent) else { return };
            if above.star == node {
                above.star = NONE;
            } else if above.tail == node {
                above.tail = NONE;
            } else {
                above.literals = above.literals.saturating_sub(1);
                self.buckets.remove(tables.nodes, node);
                token.release(tables.chunks, chunk_pool);
            }
            self.pool.give(tables.nodes, node);
            node = parent;
        }
    }
}

fn split_token(subject: &[u8]) -> (&[u8], Option<&[u8]>) {
    match subject.iter().position(|&byte| byte == b'.') {
        Some(dot) => {
            let (token, rest) = subject.split_at_checked(dot).unwrap_or((subject, b""));
            (token, rest.get(1..))
        }
        None => (subject, None),
    }
}

/// Walks all nodes whose pattern matches a subject, without recursion and without a stack: the way back is
/// in the parent links, and the position in the subject is found again by looking back for a dot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    node: u32,
    /// Where the token below `node` begins; behind the subject's end if `node` stands for all of it.
    from: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Enter,
    Literal,
    Star,
    Leave,
    Done,
}

impl Walk {
    /// The walk from `root`. A subject with an empty token matches nothing.
    pub(super) fn new(root: u32, subject: &[u8]) -> Self {
        let mut before = b'.';
        let mut stage = Stage::Enter;
        for &byte in subject.iter().chain(b".") {
            if byte == b'.' && before == b'.' {
                stage = Stage::Done;
                break;
            }
            before = byte;
        }
        Self { node: root, from: 0, stage }
    }

    /// The next node that has subscriptions. `subject` is that of [`Walk::new`]; the nodes must not have
    /// changed in between.
    pub(super) fn next(&mut self, trie: &Trie, tables: &Tables<'_>, subject: &[u8]) -> Option<u32> {
        loop {
            let node = match self.stage {
                Stage::Done => return None,
                _ => at(tables.nodes, self.node)?,
            };
            match self.stage {
                Stage::Enter if self.from > subject.len() => {
                    self.stage = Stage::Leave;
                    if node.subscriptions != NONE {
                        return Some(self.node);
                    }
                }
                Stage::Enter => {
                    self.stage = Stage::Literal;
                    if node.tail != NONE {
                        return Some(node.tail);
                    }
                }
                Stage::Literal => {
                    self.stage = Stage::Star;
                    if node.literals > 0 {
                        let token = token_at(subject, self.from);
                        if let Some(child) = trie.literal(tables, self.node, token) {
                            self.descend(child, token.len());
                        }
                    }
                }
                Stage::Star => {
                    self.stage = Stage::Leave;
                    if node.star != NONE {
                        self.descend(node.star, token_at(subject, self.from).len());
                    }
                }
                Stage::Leave => {
                    let Some(above) = at(tables.nodes, node.parent) else {
                        self.stage = Stage::Done;
                        return None;
                    };
                    // After a literal child its sibling `*` has its turn; after that there is none.
                    self.stage = if above.star == self.node { Stage::Leave } else { Stage::Star };
                    self.node = node.parent;
                    let token = subject.get(..self.from.saturating_sub(1)).unwrap_or_default();
                    self.from = token.iter().rposition(|&byte| byte == b'.').map_or(0, |dot| dot + 1);
                }
                Stage::Done => return None,
            }
        }
    }

    fn descend(&mut self, child: u32, token_len: usize) {
        self.node = child;
        self.from += token_len + 1;
        self.stage = Stage::Enter;
    }
}

fn token_at(subject: &[u8], from: usize) -> &[u8] {
    let rest = subject.get(from..).unwrap_or_default();
    split_token(rest).0
}
