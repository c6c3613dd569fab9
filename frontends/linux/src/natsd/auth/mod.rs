//! Who is who: credentials, tokens, and users of this machine by their uid.

mod accounts;
mod borders;
mod change;
pub(super) mod door;
pub(crate) mod grant;
mod hasher;
mod identity;
pub(super) mod jwt;
mod known;
pub(super) mod leaf;
pub(super) mod names;
pub(crate) mod secret;
mod template;
pub(super) mod token;
pub(super) mod users;
