//! Who a client is, and what it may do: facts that the driver knows and the broker obeys.

use crate::time::{Duration, Instant};

/// The driver's number of a user, by which [`Memory::user`](super::Memory::user) finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(u32);

impl UserId {
    /// The user with the number `index`, which is not `u32::MAX`.
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The number.
    pub const fn index(self) -> u32 {
        self.0
    }
}

/// An account: a space of subjects of its own. Its number is also its slot in
/// [`Tables::accounts`](super::Tables::accounts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u32);

impl AccountId {
    /// The account of everybody whom nobody has put into another one, `$G`.
    pub const GLOBAL: Self = Self(0);
    /// The account in which servers speak about themselves, `$SYS`.
    pub const SYSTEM: Self = Self(1);

    /// The account with the number `index`; those after [`AccountId::SYSTEM`] are the driver's.
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The number.
    pub const fn index(self) -> u32 {
        self.0
    }
}

/// Somebody who may connect.
///
/// ```
/// # use lunix_core::broker::*;
/// # use lunix_core::time::Instant;
/// /// A firmware's memory, in which everybody is this one user.
/// struct Guests(Arrays<8, 4, 1, 1, 2>);
///
/// impl Memory for Guests {
///     fn tables(&mut self) -> Tables<'_> {
///         self.0.tables()
///     }
///
///     fn user(&self, _: UserId) -> Option<User<'_>> {
///         let publish = Subjects { allow: Some("door.*.knock\nlog.>"), deny: "log.system.>" };
///         Some(User {
///             permissions: Permissions { publish, ..Permissions::ALL },
///             ..User::of(AccountId::GLOBAL)
///         })
///     }
/// }
///
/// let limits = Limits { authenticate: true, ..Limits::default() };
/// let mut broker = Broker::new(Guests(Arrays::EMPTY), limits, 0x5eed);
/// let (now, client) = (Instant::from_micros(0), ClientId::new(0));
/// let mut say = |input| {
///     let mut turn = broker.handle(now, input);
///     let mut asked = false;
///     let mut errors = String::new();
///     while let Some(action) = turn.poll() {
///         match action {
///             Action::Authenticate { connect, .. } => asked = connect.auth_token.eq_str("open sesame"),
///             Action::Send { line: Control::Error(error), .. } => errors += &format!("{error:?}"),
///             _ => {}
///         }
///     }
///     (asked, errors)
/// };
/// say(Input::Opened { client, peer: Peer::Local });
/// let bytes = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"auth_token\":\"open sesame\"}\r\n";
/// assert!(say(Input::Received { client, bytes }).0);
/// say(Input::Admitted { client, user: UserId::new(0) });
/// assert_eq!(say(Input::Received { client, bytes: b"PUB door.front.knock 0\r\n\r\n" }).1, "");
/// let (_, error) = say(Input::Received { client, bytes: b"PUB log.system.halt 0\r\n\r\n" });
/// assert!(error.starts_with("PublishViolation"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User<'m> {
    /// Where its subjects are.
    pub account: AccountId,
    /// What it may publish and subscribe to.
    pub permissions: Permissions<'m>,
    /// Subscriptions of each of its connections, if fewer than [`Limits::subscriptions`](super::Limits::subscriptions).
    pub subscriptions: Option<u32>,
    /// Bytes of a message, if fewer than [`Limits::payload`](super::Limits::payload).
    pub payload: Option<usize>,
    /// When its connections end.
    pub expires: Option<Instant>,
    /// It is its account whose time is over then.
    pub account_expires: bool,
}

impl User<'_> {
    /// One who may do everything in `account`.
    pub const fn of(account: AccountId) -> Self {
        let permissions = Permissions::ALL;
        Self {
            account,
            permissions,
            subscriptions: None,
            payload: None,
            expires: None,
            account_expires: false,
        }
    }
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions<'m> {
    /// To which subjects it may publish.
    pub publish: Subjects<'m>,
    /// To which subjects it may subscribe.
    pub subscribe: Subjects<'m>,
    /// Whether it may answer what it was asked, whatever it may publish.
    pub responses: Option<Responses>,
}

impl Permissions<'_> {
    /// Everything.
    pub const ALL: Self = Self { publish: Subjects::ALL, subscribe: Subjects::ALL, responses: None };
}

/// Subjects, as patterns divided by LF. Empty lines are nothing.
///
/// In lists of what may be subscribed to, a line `PATTERN QUEUE` is about queue groups whose name matches the
/// pattern `QUEUE`; a line without `QUEUE` is about subscriptions with and without a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subjects<'m> {
    /// What is allowed; `None` is everything, and an empty text nothing.
    pub allow: Option<&'m str>,
    /// What is not, of that.
    pub deny: &'m str,
}

impl Subjects<'_> {
    /// All of them.
    pub const ALL: Self = Self { allow: None, deny: "" };
}

/// How long, and how often, the sender of a request may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Responses {
    /// How many answers; 0 for any number.
    pub max: u32,
    /// For how long after the request; `None` for as long as both are connected.
    pub expires: Option<Duration>,
}
