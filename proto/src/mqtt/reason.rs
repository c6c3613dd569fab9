//! Reason codes [2.4].

use super::PacketType;

macro_rules! reason_codes {
    ($($(#[$attribute:meta])* $name:ident = $code:literal, $text:literal, [$($packet:ident)*];)*) => {
        /// What came of a request, or why something ends; of 0x80 and above it is a failure.
        ///
        /// ```
        /// use lunix_proto::mqtt::ReasonCode;
        /// assert_eq!(ReasonCode::of(0x97), Some(ReasonCode::QuotaExceeded));
        /// assert_eq!(ReasonCode::QuotaExceeded.to_string(), "quota exceeded");
        /// assert_eq!(ReasonCode::of(0x03), None);
        /// ```
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the names of the specification")]
        pub enum ReasonCode {
            $($(#[$attribute])* $name = $code,)*
        }

        /// The code and the packets that may have it.
        const fn of(code: u8) -> Option<(ReasonCode, u16)> {
            match code {
                $($code => Some((ReasonCode::$name, 0 $(| PacketType::$packet.bit())*)),)*
                _ => None,
            }
        }

        const fn text(code: ReasonCode) -> &'static str {
            match code {
                $(ReasonCode::$name => $text,)*
            }
        }
    };
}

reason_codes! {
    /// Also [`Self::NORMAL_DISCONNECTION`] and [`Self::GRANTED_QOS_0`].
    #[default]
    Success = 0x00, "success", [Connack Puback Pubrec Pubrel Pubcomp Suback Unsuback Disconnect Auth];
    GrantedQos1 = 0x01, "granted QoS 1", [Suback];
    GrantedQos2 = 0x02, "granted QoS 2", [Suback];
    DisconnectWithWill = 0x04, "disconnect with will message", [Disconnect];
    NoMatchingSubscribers = 0x10, "no matching subscribers", [Puback Pubrec];
    NoSubscriptionExisted = 0x11, "no subscription existed", [Unsuback];
    ContinueAuthentication = 0x18, "continue authentication", [Auth];
    Reauthenticate = 0x19, "re-authenticate", [Auth];
    UnspecifiedError = 0x80, "unspecified error", [Connack Puback Pubrec Suback Unsuback Disconnect];
    MalformedPacket = 0x81, "malformed packet", [Connack Disconnect];
    ProtocolError = 0x82, "protocol error", [Connack Disconnect];
    ImplementationSpecificError = 0x83, "implementation specific error", [Connack Puback Pubrec Suback Unsuback Disconnect];
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version", [Connack];
    ClientIdentifierNotValid = 0x85, "client identifier not valid", [Connack];
    BadUserNameOrPassword = 0x86, "bad user name or password", [Connack];
    NotAuthorized = 0x87, "not authorized", [Connack Puback Pubrec Suback Unsuback Disconnect];
    ServerUnavailable = 0x88, "server unavailable", [Connack];
    ServerBusy = 0x89, "server busy", [Connack Disconnect];
    Banned = 0x8A, "banned", [Connack];
    ServerShuttingDown = 0x8B, "server shutting down", [Disconnect];
    BadAuthenticationMethod = 0x8C, "bad authentication method", [Connack Disconnect];
    KeepAliveTimeout = 0x8D, "keep alive timeout", [Disconnect];
    SessionTakenOver = 0x8E, "session taken over", [Disconnect];
    TopicFilterInvalid = 0x8F, "topic filter invalid", [Suback Unsuback Disconnect];
    TopicNameInvalid = 0x90, "topic name invalid", [Connack Puback Pubrec Disconnect];
    PacketIdentifierInUse = 0x91, "packet identifier in use", [Puback Pubrec Suback Unsuback];
    PacketIdentifierNotFound = 0x92, "packet identifier not found", [Pubrel Pubcomp];
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded", [Disconnect];
    TopicAliasInvalid = 0x94, "topic alias invalid", [Disconnect];
    PacketTooLarge = 0x95, "packet too large", [Connack Disconnect];
    MessageRateTooHigh = 0x96, "message rate too high", [Disconnect];
    QuotaExceeded = 0x97, "quota exceeded", [Connack Puback Pubrec Suback Disconnect];
    AdministrativeAction = 0x98, "administrative action", [Disconnect];
    PayloadFormatInvalid = 0x99, "payload format invalid", [Connack Puback Pubrec Disconnect];
    RetainNotSupported = 0x9A, "retain not supported", [Connack Disconnect];
    QosNotSupported = 0x9B, "QoS not supported", [Connack Disconnect];
    UseAnotherServer = 0x9C, "use another server", [Connack Disconnect];
    ServerMoved = 0x9D, "server moved", [Connack Disconnect];
    SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported", [Suback Disconnect];
    ConnectionRateExceeded = 0x9F, "connection rate exceeded", [Connack Disconnect];
    MaximumConnectTime = 0xA0, "maximum connect time", [Disconnect];
    SubscriptionIdentifiersNotSupported = 0xA1, "subscription identifiers not supported", [Suback Disconnect];
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported", [Suback Disconnect];
}

impl ReasonCode {
    /// 0x00 in `DISCONNECT`: no will is to be published.
    pub const NORMAL_DISCONNECTION: Self = Self::Success;
    /// 0x00 in `SUBACK`.
    pub const GRANTED_QOS_0: Self = Self::Success;

    /// By its number.
    pub const fn of(code: u8) -> Option<Self> {
        match of(code) {
            Some((reason, _)) => Some(reason),
            None => None,
        }
    }

    /// Its number.
    ///
    /// ```
    /// assert_eq!(lunix_proto::mqtt::ReasonCode::ProtocolError.code(), 0x82);
    /// ```
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether it says that something failed.
    ///
    /// ```
    /// use lunix_proto::mqtt::ReasonCode;
    /// assert!(ReasonCode::Banned.is_failure() && !ReasonCode::NoMatchingSubscribers.is_failure());
    /// ```
    pub const fn is_failure(self) -> bool {
        self.code() >= 0x80
    }

    /// Whether such a packet may have it [2.4].
    ///
    /// ```
    /// use lunix_proto::mqtt::{PacketType, ReasonCode};
    /// assert!(ReasonCode::GrantedQos2.is_for(PacketType::Suback));
    /// assert!(!ReasonCode::GrantedQos2.is_for(PacketType::Puback));
    /// ```
    pub const fn is_for(self, packet: PacketType) -> bool {
        matches!(of(self.code()), Some((_, packets)) if packets & packet.bit() != 0)
    }

    /// The return code of a `CONNACK` before 5 that says most nearly the same [3.1.1: 3.2.2.3].
    ///
    /// ```
    /// use lunix_proto::mqtt::ReasonCode;
    /// assert_eq!(ReasonCode::UnsupportedProtocolVersion.return_code(), 1);
    /// assert_eq!(ReasonCode::Banned.return_code(), 5);
    /// assert_eq!(ReasonCode::QuotaExceeded.return_code(), 3);
    /// ```
    pub const fn return_code(self) -> u8 {
        match self {
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::BadUserNameOrPassword => 4,
            Self::NotAuthorized | Self::Banned | Self::BadAuthenticationMethod => 5,
            reason if reason.is_failure() => 3,
            _ => 0,
        }
    }

    pub(super) const fn of_return_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }
}

impl From<super::Qos> for ReasonCode {
    /// That it was granted.
    fn from(qos: super::Qos) -> Self {
        match qos {
            super::Qos::AtMostOnce => Self::GRANTED_QOS_0,
            super::Qos::AtLeastOnce => Self::GrantedQos1,
            super::Qos::ExactlyOnce => Self::GrantedQos2,
        }
    }
}

impl core::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(text(*self))
    }
}
