//! Who is who: credentials, tokens, and users of this machine by their uid.

mod accounts;
mod borders;
pub(super) mod door;
pub(crate) mod grant;
mod hasher;
mod identity;
mod known;
pub(super) mod leaf;
pub(super) mod names;
mod operator;
mod resolver;
pub(crate) mod secret;
mod sharing;
mod template;
mod times;
pub(super) mod token;
pub(super) mod users;
