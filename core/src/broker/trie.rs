//! The subscribed subjects as a trie of tokens, in which tokens that follow each other without a branch share a node
//! (path compression). A child is found by the hash of its parent and its first token; those that begin with `*` or `>`
//! are direct links.

use super::memory::Tables;
use super::pool::{Buckets, Link, Linked, NONE, Pool, at, at_mut, hash};
use super::text::Text;
use super::{Chunk, text::Parts};

/// Tokens of a subscribed subject, in their place below those before them.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    link: Link,
    pub(super) parent: u32,
    /// The child that begins with `*`.
    star: u32,
    /// The child `>`, which has no children.
    tail: u32,
    /// How many other children there are.
    literals: u32,
    /// The first subscription to the subject that ends here.
    pub(super) subscriptions: u32,
    /// How many tokens the label has, and [`WILD`].
    tokens: u8,
    /// The tokens with the dots between them, at most [`LABEL`] bytes unless it is one token.
    pub(super) label: Label,
}

pub(super) type Label = Text<18>;

/// In [`Node::tokens`]: there are wildcards among them.
const WILD: u8 = 0x80;

/// As many bytes as two chunks have. A label of several tokens is short, so that it can be split.
const LABEL: usize = 56;

impl Node {
    /// A slot that was never used.
    pub const EMPTY: Self = Self {
        link: Link::EMPTY,
        parent: NONE,
        star: NONE,
        tail: NONE,
        literals: 0,
        subscriptions: NONE,
        tokens: 0,
        label: Text::EMPTY,
    };

    fn is_bare(&self) -> bool {
        self.subscriptions == NONE && self.literals == 0 && self.star == NONE && self.tail == NONE
    }

    /// Follows the label from the beginning of `subject`, which has no empty tokens; `None` if they part.
    #[inline]
    fn along(&self, chunks: &[Chunk], subject: &[u8]) -> Option<Along> {
        match self.label.short() {
            Some((label, len)) if self.tokens & WILD == 0 => {
                let rest = subject.strip_prefix(label.get(..len)?)?;
                is_at_end(rest).then_some(Along::To(len))
            }
            Some(([b'*', ..], 1)) => Some(Along::To(token_at(subject, 0).len())),
            _ => along(self.label.parts(chunks), subject),
        }
    }

    fn begins_with(&self, chunks: &[Chunk], token: &[u8]) -> bool {
        match self.label.short() {
            Some((label, len)) => {
                label.get(..len).and_then(|label| label.strip_prefix(token)).is_some_and(is_at_end)
            }
            None => shared(self.label.parts(chunks), token) == token.len(),
        }
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
    /// How much of that node's label the subject has, if not all of it.
    split: Option<usize>,
    /// The tokens below it that are missing.
    missing: Option<&'b [u8]>,
}

impl<'b> Fork<'b> {
    /// The subject ends at the node.
    pub(super) fn is_whole(&self) -> bool {
        self.split.is_none() && self.missing.is_none()
    }

    /// What is missing, in labels.
    fn labels(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let mut rest = self.missing;
        core::iter::from_fn(move || {
            let whole = rest?;
            let mut len = token_at(whole, 0).len();
            while len < whole.len() {
                let more = len + 1 + token_at(whole, len + 1).len();
                if more > LABEL {
                    break;
                }
                len = more;
            }
            rest = whole.get(len + 1..);
            whole.get(..len)
        })
    }

    /// How many nodes and chunks are missing.
    pub(super) fn needs(&self, tables: &Tables<'_>) -> (usize, usize) {
        let new = self
            .labels()
            .fold((0, 0), |(nodes, chunks), label| (nodes + 1, chunks + Label::chunks(label.len())));
        match (self.split, at(tables.nodes, self.node)) {
            (Some(len), Some(node)) => {
                let (whole, (nodes, chunks)) = (node.label.len(), new);
                let parts = Label::chunks(len) + Label::chunks(whole.saturating_sub(len + 1));
                (nodes + 1, (chunks + parts).saturating_sub(Label::chunks(whole)))
            }
            _ => new,
        }
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
        self.node(tables)
    }

    fn node(&mut self, tables: &mut Tables<'_>) -> Option<u32> {
        let index = self.pool.take(tables.nodes)?;
        let node = at_mut(tables.nodes, index)?;
        *node = Node { link: node.link, ..Node::EMPTY };
        Some(index)
    }

    /// The child of `parent` that begins with `token`, literally.
    fn literal(&self, tables: &Tables<'_>, parent: u32, token: &[u8]) -> Option<u32> {
        let chunks = &*tables.chunks;
        self.buckets.find(tables.nodes, hash(self.seed, parent, token), |node| {
            node.parent == parent && node.begins_with(chunks, token)
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
        let mut fork = Fork { node: root, split: None, missing: Some(subject) };
        while let Some(rest) = fork.missing.filter(|_| fork.split.is_none()) {
            let Some(child) = self.child(tables, fork.node, token_at(rest, 0)) else { break };
            let Some(node) = at(tables.nodes, child) else { break };
            let len = shared(node.label.parts(tables.chunks), rest);
            let split = (len < node.label.len()).then_some(len);
            fork = Fork { node: child, split, missing: rest.get(len + 1..) };
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
        let mut parent = match fork.split {
            Some(len) => self.split(tables, chunk_pool, fork.node, len)?,
            None => fork.node,
        };
        for label in fork.labels() {
            let child = self.node(tables)?;
            self.hang(tables, chunk_pool, parent, child, label)?;
            parent = child;
        }
        Some(parent)
    }

    /// Puts a new node above `node`, with the first `len` bytes of its label. `node` stays what its subscriptions and its
    /// children know.
    fn split(
        &mut self,
        tables: &mut Tables<'_>,
        chunk_pool: &mut Pool,
        node: u32,
        len: usize,
    ) -> Option<u32> {
        let &Node { parent, label, .. } = at(tables.nodes, node)?;
        let mut copy = [0; LABEL];
        for (to, from) in copy.iter_mut().zip(label.parts(tables.chunks).flatten()) {
            *to = *from;
        }
        let whole = copy.get(..label.len())?;
        self.unhang(tables, chunk_pool, node)?;
        let above = self.node(tables)?;
        self.hang(tables, chunk_pool, parent, above, whole.get(..len)?)?;
        self.hang(tables, chunk_pool, above, node, whole.get(len + 1..)?)?;
        Some(above)
    }

    fn hang(
        &mut self,
        tables: &mut Tables<'_>,
        chunk_pool: &mut Pool,
        parent: u32,
        child: u32,
        label: &[u8],
    ) -> Option<()> {
        let text = Text::store(label, tables.chunks, chunk_pool)?;
        let tokens = label.split(|byte| *byte == b'.');
        let tokens = tokens.fold(0, |count, token| {
            let wild = if matches!(token, b"*" | b">") { WILD } else { 0 };
            (count + 1) | wild
        });
        let node = at_mut(tables.nodes, child)?;
        (node.parent, node.label, node.tokens) = (parent, text, tokens);
        let above = at_mut(tables.nodes, parent)?;
        match token_at(label, 0) {
            b"*" => above.star = child,
            b">" => above.tail = child,
            token => {
                above.literals += 1;
                self.buckets.insert(tables.nodes, child, hash(self.seed, parent, token));
            }
        }
        Some(())
    }

    /// Takes `node` from its parent, which is answered; `None` if it has none.
    fn unhang(&mut self, tables: &mut Tables<'_>, chunk_pool: &mut Pool, node: u32) -> Option<u32> {
        let slot = at_mut(tables.nodes, node)?;
        let parent = slot.parent;
        if parent == NONE {
            return None;
        }
        slot.label.release(tables.chunks, chunk_pool);
        let above = at_mut(tables.nodes, parent)?;
        if above.star == node {
            above.star = NONE;
        } else if above.tail == node {
            above.tail = NONE;
        } else {
            above.literals = above.literals.saturating_sub(1);
            self.buckets.remove(tables.nodes, node);
        }
        Some(parent)
    }

    /// Frees `node` and those above it that nothing hangs from any more.
    pub(super) fn prune(&mut self, tables: &mut Tables<'_>, chunk_pool: &mut Pool, mut node: u32) {
        while at(tables.nodes, node).is_some_and(Node::is_bare) {
            let Some(parent) = self.unhang(tables, chunk_pool, node) else { return };
            self.pool.give(tables.nodes, node);
            node = parent;
        }
    }
}

/// The token of `subject` that begins at `from`.
fn token_at(subject: &[u8], from: usize) -> &[u8] {
    let rest = subject.get(from..).unwrap_or_default();
    rest.split(|byte| *byte == b'.').next().unwrap_or_default()
}

/// Whether a token ends before `rest`.
fn is_at_end(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b'.'))
}

/// How many bytes of whole tokens both begin with.
fn shared(label: Parts<'_>, subject: &[u8]) -> usize {
    let (mut len, mut whole) = (0, 0);
    for part in label {
        for byte in part {
            let other = subject.get(len);
            if *byte == b'.' && matches!(other, None | Some(b'.')) {
                whole = len;
            }
            if other != Some(byte) {
                return whole;
            }
            len += 1;
        }
    }
    if matches!(subject.get(len), None | Some(b'.')) { len } else { whole }
}

/// How far the literal tokens of a subject go along a label.
enum Along {
    /// So many bytes are what the label stands for.
    To(usize),
    /// The label ends with `>`: all of the subject is.
    All,
}

/// [`Node::along`] for any label.
fn along(label: Parts<'_>, subject: &[u8]) -> Option<Along> {
    let mut len = 0;
    let mut label = label.flatten().peekable();
    let mut begins = true;
    while let Some(byte) = label.next() {
        if begins && matches!(byte, b'*' | b'>') && matches!(label.peek(), None | Some(b'.')) {
            let token = token_at(subject, len);
            if token.is_empty() {
                return None;
            }
            if *byte == b'>' {
                return Some(Along::All);
            }
            len += token.len();
            begins = false;
            continue;
        }
        if subject.get(len) != Some(byte) {
            return None;
        }
        len += 1;
        begins = *byte == b'.';
    }
    is_at_end(subject.get(len..).unwrap_or_default()).then_some(Along::To(len))
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
                    if node.literals > 0
                        && let Some(child) = trie.literal(tables, self.node, token_at(subject, self.from))
                        && self.descend(tables, child, subject)
                    {
                        return Some(child);
                    }
                }
                Stage::Star => {
                    self.stage = Stage::Leave;
                    let star = node.star;
                    if star != NONE && self.descend(tables, star, subject) {
                        return Some(star);
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
                    for _ in 0..node.tokens & !WILD {
                        let before = subject.get(..self.from.saturating_sub(1)).unwrap_or_default();
                        self.from = before.iter().rposition(|&byte| byte == b'.').map_or(0, |dot| dot + 1);
                    }
                }
                Stage::Done => return None,
            }
        }
    }

    /// Goes down to `child` if the subject goes on as its label; answers whether `child` stands for all of it.
    fn descend(&mut self, tables: &Tables<'_>, child: u32, subject: &[u8]) -> bool {
        let Some(node) = at(tables.nodes, child) else { return false };
        match node.along(tables.chunks, subject.get(self.from..).unwrap_or_default()) {
            None => false,
            Some(Along::All) => true,
            Some(Along::To(len)) => {
                self.node = child;
                self.from += len + 1;
                self.stage = Stage::Enter;
                false
            }
        }
    }
}
