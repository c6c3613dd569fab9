//! Rules as bytes: what the parser writes once and the machine reads for every event.
//!
//! ```text
//! table = { line }
//! line  = length u16  needs u8  file u16  line u32  { token }        length: of the tokens
//! token = key u8  flags u8  name length u8  value length u16  name value
//! ```
//!
//! Numbers are little endian. The tokens of a line stand in the order of [`Key`]: what is cheap to compare first, what
//! needs an answer later, what changes something last. A `GOTO` is how many lines are left out, so no table can lead
//! anywhere but forward.

use super::pattern;

/// The longest table.
pub const MAX_TABLE: usize = 4 << 20;

const LINE_HEAD: usize = 9;
const TOKEN_HEAD: usize = 5;

/// What a token compares or changes, in the order in which the tokens of a line are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Key {
    /// `ACTION==`
    Action,
    /// `SUBSYSTEM==`
    Subsystem,
    /// `KERNEL==`
    Kernel,
    /// `DEVPATH==`
    Devpath,
    /// `ENV{name}==`
    Env,
    /// `TAG==`
    Tag,
    /// `SYMLINK==`
    Symlink,
    /// `NAME==`
    Name,
    /// `CONST{name}==`
    Const,
    /// `DRIVER==`
    Driver,
    /// `ATTR{name}==`
    Attr,
    /// `SYSCTL{name}==`
    Sysctl,
    /// `SUBSYSTEMS==`: this and the next four look for one device, this one or a parent, that all of them match.
    Subsystems,
    /// `KERNELS==`
    Kernels,
    /// `DRIVERS==`
    Drivers,
    /// `ATTRS{name}==`
    Attrs,
    /// `TAGS==`
    Tags,
    /// `TEST==` or `TEST{mode}==`
    Test,
    /// `PROGRAM==`
    Program,
    /// `IMPORT{file}`
    ImportFile,
    /// `IMPORT{program}`
    ImportProgram,
    /// `IMPORT{builtin}`
    ImportBuiltin,
    /// `IMPORT{db}`
    ImportDb,
    /// `IMPORT{cmdline}`
    ImportCmdline,
    /// `IMPORT{parent}`
    ImportParent,
    /// `RESULT==`
    Result,
    /// `OPTIONS="dump"`
    Dump,
    /// `OPTIONS="string_escape=…"`
    StringEscape,
    /// `OPTIONS="db_persist"`
    DbPersist,
    /// `OPTIONS="watch"` and `"nowatch"`
    Watch,
    /// `OPTIONS="link_priority=…"`
    LinkPriority,
    /// `OPTIONS="log_level=…"`
    LogLevel,
    /// `OWNER=`
    Owner,
    /// `GROUP=`
    Group,
    /// `MODE=`
    Mode,
    /// `TAG=`
    SetTag,
    /// `OPTIONS="static_node=…"`: nothing that an event changes, see [`Table::static_nodes`].
    StaticNode,
    /// `SECLABEL{module}=`
    Seclabel,
    /// `ENV{name}=`
    SetEnv,
    /// `NAME=`
    SetName,
    /// `SYMLINK=`
    SetSymlink,
    /// `ATTR{name}=`
    SetAttr,
    /// `SYSCTL{name}=`
    SetSysctl,
    /// `RUN{builtin}=`
    RunBuiltin,
    /// `RUN{program}=`
    RunProgram,
    /// `GOTO=`
    Goto,
}

impl Key {
    /// All keys, in their order.
    pub const ALL: [Self; 46] = [
        Self::Action,
        Self::Subsystem,
        Self::Kernel,
        Self::Devpath,
        Self::Env,
        Self::Tag,
        Self::Symlink,
        Self::Name,
        Self::Const,
        Self::Driver,
        Self::Attr,
        Self::Sysctl,
        Self::Subsystems,
        Self::Kernels,
        Self::Drivers,
        Self::Attrs,
        Self::Tags,
        Self::Test,
        Self::Program,
        Self::ImportFile,
        Self::ImportProgram,
        Self::ImportBuiltin,
        Self::ImportDb,
        Self::ImportCmdline,
        Self::ImportParent,
        Self::Result,
        Self::Dump,
        Self::StringEscape,
        Self::DbPersist,
        Self::Watch,
        Self::LinkPriority,
        Self::LogLevel,
        Self::Owner,
        Self::Group,
        Self::Mode,
        Self::SetTag,
        Self::StaticNode,
        Self::Seclabel,
        Self::SetEnv,
        Self::SetName,
        Self::SetSymlink,
        Self::SetAttr,
        Self::SetSysctl,
        Self::RunBuiltin,
        Self::RunProgram,
        Self::Goto,
    ];

    /// Whether it decides if a line applies. What it imports on the way is kept if the line does not.
    pub const fn is_match(self) -> bool {
        (self as u8) <= (Self::Result as u8)
    }

    /// Whether it is compared with a device and its parents.
    pub const fn is_of_parents(self) -> bool {
        (self as u8) >= (Self::Subsystems as u8) && (self as u8) <= (Self::Tags as u8)
    }

    /// Which lines a device can leave out unread, as bits.
    const fn needs(self) -> u8 {
        match self {
            Self::SetName => NEEDS_INTERFACE,
            Self::SetSymlink | Self::Owner | Self::Group | Self::Mode => NEEDS_NODE,
            Self::Program
            | Self::ImportFile
            | Self::ImportProgram
            | Self::ImportBuiltin
            | Self::ImportDb
            | Self::ImportCmdline
            | Self::ImportParent => NEEDS_NOTHING,
            Self::StaticNode => 0,
            _ if self.is_match() => 0,
            _ => NEEDS_NOTHING,
        }
    }
}

/// A line that does something to a network interface.
pub(super) const NEEDS_INTERFACE: u8 = 1;
/// A line that does something to a device node.
pub(super) const NEEDS_NODE: u8 = 2;
/// A line that does something to any device.
pub(super) const NEEDS_NOTHING: u8 = 4;

/// What stands between key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Operator {
    /// `==`
    Match,
    /// `!=`
    NoMatch,
    /// `=`
    Assign,
    /// `+=`
    Add,
    /// `-=`
    Remove,
    /// `:=`: nothing changes it afterwards.
    Final,
}

impl Operator {
    const ALL: [Self; 6] = [Self::Match, Self::NoMatch, Self::Assign, Self::Add, Self::Remove, Self::Final];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "==",
            Self::NoMatch => "!=",
            Self::Assign => "=",
            Self::Add => "+=",
            Self::Remove => "-=",
            Self::Final => ":=",
        }
    }
}

/// `KEY{name}OPERATOR"value"`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'t> {
    /// What it is about.
    pub key: Key,
    /// What is done with it.
    pub operator: Operator,
    /// Capitals and small letters of ASCII are the same (`i"…"`).
    pub any_case: bool,
    /// What stands in braces, or empty.
    pub name: &'t [u8],
    /// What stands in quotes, unescaped.
    pub value: &'t [u8],
    /// The value is a pattern, and not just itself.
    pub(super) glob: bool,
}

impl<'t> Token<'t> {
    /// A token.
    pub fn new(key: Key, operator: Operator, any_case: bool, name: &'t [u8], value: &'t [u8]) -> Self {
        Self { key, operator, any_case, name, value, glob: pattern::is_glob(value) }
    }

    /// Compares with one of the alternatives in the value, between `|`. The operator is not looked at.
    pub(super) fn fits(&self, text: &[u8]) -> bool {
        self.value.split(|byte| *byte == b'|').any(|one| match (self.glob, self.any_case) {
            (true, any_case) => pattern::fits(one, text, any_case),
            (false, true) => one.eq_ignore_ascii_case(text),
            (false, false) => one == text,
        })
    }

    /// What the token says if its value fits or not.
    pub(super) fn says(&self, fits: bool) -> bool {
        fits == (self.operator == Operator::Match)
    }

    /// The token at the beginning of `bytes`, and what follows.
    pub(super) fn read(bytes: &'t [u8]) -> Option<(Self, &'t [u8])> {
        let (head, rest) = bytes.split_at_checked(TOKEN_HEAD)?;
        let &[key, flags, name, low, high] = head else { return None };
        let (name, rest) = rest.split_at_checked(usize::from(name))?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
        let token = Self {
            key: *Key::ALL.get(usize::from(key))?,
            operator: *Operator::ALL.get(usize::from(flags & OPERATOR))?,
            any_case: flags & ANY_CASE != 0,
            name,
            value,
            glob: flags & GLOB != 0,
        };
        Some((token, rest))
    }
}

const OPERATOR: u8 = 7;
const GLOB: u8 = 8;
const ANY_CASE: u8 = 16;

/// Where a line of rules comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Which file, in the order in which they were read.
    pub file: u16,
    /// Which line in it, from 1.
    pub line: u32,
}

/// A line of rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'t> {
    pub(super) origin: Origin,
    pub(super) needs: u8,
    pub(super) tokens: &'t [u8],
}

/// Rules to be applied, checked once.
///
/// ```
/// use lunix_core::device::rules::{Builder, Key, Operator, Origin, Table, Token};
/// let mut bytes = [0; 64];
/// let mut builder = Builder::new(&mut bytes);
/// builder.begin(Origin { file: 0, line: 1 })?;
/// builder.token(&Token::new(Key::Kernel, Operator::Match, false, b"", b"sd*"))?;
/// builder.token(&Token::new(Key::Mode, Operator::Assign, false, b"", b"0660"))?;
/// let len = builder.len();
/// assert_eq!(Table::new(&bytes[..len])?.lines(), 1);
/// assert!(Table::new(&bytes[..len - 1]).is_err());
/// # Ok::<(), lunix_core::device::rules::TableError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Table<'t> {
    bytes: &'t [u8],
    lines: u32,
}

impl<'t> Table<'t> {
    /// No rules.
    pub const EMPTY: Self = Self { bytes: &[], lines: 0 };

    /// Checks what a [`Builder`] has written; any other bytes are refused, or are rules as well.
    ///
    /// # Errors
    /// These bytes are no table.
    pub fn new(bytes: &'t [u8]) -> Result<Self, TableError> {
        if bytes.len() > MAX_TABLE {
            return Err(TableError::Full);
        }
        let mut table = Self { bytes, lines: 0 };
        let mut at = 0;
        while at < bytes.len() {
            let (line, next) = table.line(at).ok_or(TableError::Malformed)?;
            let mut tokens = line.tokens;
            while !tokens.is_empty() {
                (_, tokens) = Token::read(tokens).ok_or(TableError::Malformed)?;
            }
            (at, table.lines) = (next, table.lines + 1);
        }
        Ok(table)
    }

    /// What [`Table::new`] has accepted before, with so many lines, without looking through it again. Other bytes are rules as
    /// far as they can be read.
    ///
    /// ```
    /// use lunix_core::device::rules::Table;
    /// assert_eq!(Table::known(&[], 0).lines(), Table::EMPTY.lines());
    /// ```
    pub const fn known(bytes: &'t [u8], lines: u32) -> Self {
        Self { bytes, lines }
    }

    /// How many lines there are.
    pub const fn lines(&self) -> u32 {
        self.lines
    }

    /// The line at `at`, and where the next one is.
    pub(super) fn line(&self, at: usize) -> Option<(Line<'t>, usize)> {
        let (head, rest) = self.bytes.get(at..)?.split_at_checked(LINE_HEAD)?;
        let &[len_low, len_high, needs, file_low, file_high, a, b, c, d] = head else { return None };
        let len = usize::from(u16::from_le_bytes([len_low, len_high]));
        let origin = Origin {
            file: u16::from_le_bytes([file_low, file_high]),
            line: u32::from_le_bytes([a, b, c, d]),
        };
        Some((Line { origin, needs, tokens: rest.get(..len)? }, at + LINE_HEAD + len))
    }
}

/// Why a table cannot be read or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// These bytes are no table.
    Malformed,
    /// The table does not fit into the bytes that there are.
    Full,
    /// A line or a part of it is too long: its tokens have 64 KB, a name 255 bytes.
    TooLong,
}

impl core::fmt::Display for TableError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "these bytes are no table of rules",
            Self::Full => "the table of rules is full",
            Self::TooLong => "the line is too long",
        })
    }
}

impl core::error::Error for TableError {}

/// Writes a table; for an example see [`Table`].
#[derive(Debug)]
pub struct Builder<'b> {
    bytes: &'b mut [u8],
    len: usize,
    /// Where the line begins that tokens are added to.
    line: usize,
}

impl<'b> Builder<'b> {
    /// An empty table, which grows into `bytes`.
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, len: 0, line: 0 }
    }

    /// Bytes that are written.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is written.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Begins a line.
    ///
    /// # Errors
    /// It does not fit.
    pub fn begin(&mut self, origin: Origin) -> Result<(), TableError> {
        self.line = self.len;
        let [file_low, file_high] = origin.file.to_le_bytes();
        let [a, b, c, d] = origin.line.to_le_bytes();
        self.write(&[0, 0, 0, file_low, file_high, a, b, c, d])
    }

    /// Adds a token to the line. It must not stand before those that are there, by [`Key`].
    ///
    /// # Errors
    /// It does not fit, or is too long; then it is not there.
    pub fn token(&mut self, token: &Token<'_>) -> Result<(), TableError> {
        let name = u8::try_from(token.name.len()).map_err(|_| TableError::TooLong)?;
        let value = u16::try_from(token.value.len()).map_err(|_| TableError::TooLong)?;
        let before = self.len;
        let after = before + TOKEN_HEAD + token.name.len() + token.value.len();
        let tokens = after - self.line - LINE_HEAD.min(after - self.line);
        let length = u16::try_from(tokens).map_err(|_| TableError::TooLong)?;
        if after > self.bytes.len() {
            return Err(TableError::Full);
        }
        let mut flags = token.operator as u8;
        flags |= if token.glob { GLOB } else { 0 };
        flags |= if token.any_case { ANY_CASE } else { 0 };
        let [low, high] = value.to_le_bytes();
        self.write(&[token.key as u8, flags, name, low, high])?;
        self.write(token.name)?;
        self.write(token.value)?;
        if let Some([len_low, len_high, needs, ..]) = self.bytes.get_mut(self.line..) {
            [*len_low, *len_high] = length.to_le_bytes();
            *needs |= token.key.needs();
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TableError> {
        let end = self.len + bytes.len();
        self.bytes.get_mut(self.len..end).ok_or(TableError::Full)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}
