//! `OPTIONS="static_node=…"`: nodes that are there before their devices, so that who opens one has its module loaded.

use super::outcome::octal;
use super::table::Table;
use super::{Key, Token};

/// What a line says of a node without a device.
#[derive(Clone, Copy, Debug)]
pub struct StaticNode<'t> {
    /// Its name below /dev, as the rule has it: the driver looks whether it leads out of there.
    pub node: &'t [u8],
    tokens: &'t [u8],
}

impl<'t> StaticNode<'t> {
    /// Who owns it: a name or a number.
    pub fn owner(&self) -> Option<&'t [u8]> {
        self.values(Key::Owner).last()
    }

    /// Whose group may use it: a name or a number.
    pub fn group(&self) -> Option<&'t [u8]> {
        self.values(Key::Group).last()
    }

    /// Its permissions.
    pub fn mode(&self) -> Option<u32> {
        self.values(Key::Mode).filter_map(octal).last()
    }

    /// Its tags.
    pub fn tags(&self) -> impl Iterator<Item = &'t [u8]> {
        self.values(Key::SetTag)
    }

    /// Without a device no variable means anything: such values are left out, as udev does.
    fn values(&self, key: Key) -> impl Iterator<Item = &'t [u8]> + use<'t> {
        let plain = |value: &&[u8]| !value.iter().any(|byte| matches!(byte, b'$' | b'%'));
        tokens(self.tokens).filter(move |token| token.key == key).map(|token| token.value).filter(plain)
    }
}

fn tokens(mut rest: &[u8]) -> impl Iterator<Item = Token<'_>> {
    core::iter::from_fn(move || {
        let (token, after) = Token::read(rest)?;
        rest = after;
        Some(token)
    })
}

impl<'t> Table<'t> {
    /// The static nodes of all lines, in their order. Of one that several lines name, each says what it says.
    ///
    /// ```
    /// use lunix_core::device::rules::{Builder, Key, Operator, Origin, Table, Token};
    /// let mut bytes = [0; 64];
    /// let mut builder = Builder::new(&mut bytes);
    /// builder.begin(Origin { file: 0, line: 1 })?;
    /// builder.token(&Token::new(Key::Mode, Operator::Assign, false, b"", b"0666"))?;
    /// builder.token(&Token::new(Key::StaticNode, Operator::Add, false, b"", b"fuse"))?;
    /// let len = builder.len();
    /// let table = Table::new(&bytes[..len])?;
    /// let fuse = table.static_nodes().next().unwrap();
    /// assert_eq!((fuse.node, fuse.mode(), fuse.owner()), (&b"fuse"[..], Some(0o666), None));
    /// # Ok::<(), lunix_core::device::rules::TableError>(())
    /// ```
    pub fn static_nodes(&self) -> impl Iterator<Item = StaticNode<'t>> {
        let table = *self;
        let mut at = 0;
        let lines = core::iter::from_fn(move || {
            let (line, next) = table.line(at)?;
            at = next;
            Some(line.tokens)
        });
        lines.flat_map(|all| {
            let named = tokens(all).filter(|token| token.key == Key::StaticNode);
            named.map(move |token| StaticNode { node: token.value, tokens: all })
        })
    }
}
