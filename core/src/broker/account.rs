//! Accounts: who is in one, and where its subjects begin.

use super::pool::NONE;

/// What the broker knows of an account.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// The root of its subscribed subjects; [`NONE`] before the first one.
    pub(super) root: u32,
    /// How many clients are in it that were admitted.
    pub(super) connections: u32,
}

impl Account {
    /// A slot that was never used.
    pub const EMPTY: Self = Self { root: NONE, connections: 0 };
}
