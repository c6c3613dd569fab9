//! Why a connection ends (section 7.4).

/// A status code of a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The endpoint goes away: a server ends, a page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data that the endpoint does not take.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// Text that is no UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// What no other code says.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A message longer than the endpoint takes.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// The endpoint is at fault.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The server is overloaded, or what it stands before cannot be reached.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// Whether a Close frame may carry it: the codes that are registered, and those of libraries and applications;
    /// not those that stand for "none came" (1005, 1006, 1015).
    ///
    /// ```
    /// use lunix_proto::ws::CloseCode;
    /// assert!(CloseCode(1000).is_sendable() && CloseCode(4999).is_sendable());
    /// assert!([999, 1004, 1005, 1006, 1015, 2999, 5000].iter().all(|code| !CloseCode(*code).is_sendable()));
    /// ```
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// What a Close frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'b> {
    /// One that [may be sent](CloseCode::is_sendable).
    pub code: CloseCode,
    /// For people, at most 123 bytes.
    pub reason: &'b str,
}
