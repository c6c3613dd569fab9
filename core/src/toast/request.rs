//! What a sender asks for, and why it may be refused.

use super::text::Text;
use core::fmt;

/// The most actions a toast can have.
pub const MAX_ACTIONS: usize = 6;

/// How much attention a toast deserves; a more urgent one is shown before those that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Can be missed.
    Low,
    /// What nothing was said about.
    #[default]
    Normal,
    /// Stays until somebody closes it, unless its sender gave a time-out.
    Critical,
}

impl Urgency {
    /// The word used on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::Critical => "critical",
        }
    }

    /// The urgency of that name.
    ///
    /// ```
    /// use lunix_core::toast::Urgency;
    /// assert_eq!(Urgency::from_name("critical"), Some(Urgency::Critical));
    /// assert_eq!(Urgency::from_name("Critical"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Low, Self::Normal, Self::Critical].into_iter().find(|urgency| urgency.as_str() == name)
    }
}

/// A choice that a toast offers.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'b> {
    /// What `toast.action` names when it is chosen: 1 to 32 bytes, refused beyond.
    pub id: Text<'b>,
    /// What the user reads; cut beyond 48 bytes, the id if empty.
    pub label: Text<'b>,
}

/// A toast as its sender wishes it: what `toast.in` carries.
///
/// Texts are borrowed as they came; [`Toasts::handle`](super::Toasts::handle) cleans and bounds them.
///
/// ```
/// use lunix_core::toast::{Request, Urgency};
/// let low = Request { urgency: Urgency::Low, body: "12 %".into(), ..Request::new("Battery") };
/// assert_eq!(low.timeout_ms, None);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'b> {
    /// The one line that must be there; cut beyond 256 bytes.
    pub summary: Text<'b>,
    /// More lines; cut where the toast's memory ends.
    pub body: Text<'b>,
    /// Who speaks; cut beyond 64 bytes.
    pub app: Text<'b>,
    /// Name or path of a picture; refused beyond 128 bytes, for half a name is another name.
    pub icon: Text<'b>,
    /// How much it matters.
    pub urgency: Urgency,
    /// How long to show it: `None` by urgency, 0 for ever.
    pub timeout_ms: Option<u32>,
    /// The toast whose place it takes.
    pub replaces: Option<u32>,
    /// How far something has come, 0 to 100.
    pub progress: Option<u8>,
    /// An action that is chosen leaves it where it is.
    pub resident: bool,
    /// It is not remembered once it is closed.
    pub transient: bool,
    /// What it offers, in order; the first `None` ends the list.
    pub actions: [Option<Offer<'b>>; MAX_ACTIONS],
}

impl<'b> Request<'b> {
    /// A toast of normal urgency that says `summary`.
    pub fn new(summary: &'b str) -> Self {
        Self { summary: summary.into(), ..Self::default() }
    }
}

/// Why an input was not taken. Its `Display` is what the sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The caller's: the value of a key is not what it must be.
    Invalid {
        /// The key, as in the JSON object.
        key: &'static str,
        /// Which of the actions, where the key belongs to one.
        action: Option<u8>,
        /// What must be there.
        expected: &'static str,
    },
    /// The caller's: the payload as a whole is not what it must be.
    Payload {
        /// What must be there.
        expected: &'static str,
    },
    /// The caller's: no toast of that id is present.
    NoToast(u32),
    /// The caller's: that toast has no such action.
    NoAction(u32),
    /// Lack of room: so many toasts are shown and wait already.
    Full {
        /// Toasts that are shown.
        shown: usize,
        /// Toasts that wait.
        waiting: usize,
    },
}

impl Refusal {
    pub(super) const fn invalid(key: &'static str, expected: &'static str) -> Self {
        Self::Invalid { key, action: None, expected }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Invalid { key, action: None, expected } => write!(f, "{key}: expected {expected}"),
            Self::Invalid { key, action: Some(index), expected } => {
                write!(f, "actions[{index}].{key}: expected {expected}")
            }
            Self::Payload { expected } => write!(f, "expected {expected}"),
            Self::NoToast(id) => write!(f, "id: no toast {id} is present"),
            Self::NoAction(id) => write!(f, "action: toast {id} has no such action"),
            Self::Full { shown, waiting } => {
                write!(f, "too many toasts: {shown} are shown and {waiting} wait")
            }
        }
    }
}

impl core::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn refusals_name_the_key_and_what_was_expected() {
        let text = |refusal: Refusal| refusal.to_string();
        assert_eq!(
            text(Refusal::invalid("progress", "a whole number, 0 to 100")),
            "progress: expected a whole number, 0 to 100"
        );
        assert_eq!(
            text(Refusal::Invalid { key: "id", action: Some(2), expected: "a string" }),
            "actions[2].id: expected a string"
        );
        assert_eq!(text(Refusal::NoToast(7)), "id: no toast 7 is present");
        assert_eq!(text(Refusal::NoAction(7)), "action: toast 7 has no such action");
        assert_eq!(text(Refusal::Full { shown: 8, waiting: 9 }), "too many toasts: 8 are shown and 9 wait");
    }

    #[test]
    fn urgency_has_an_order() {
        assert!(Urgency::Low < Urgency::Normal && Urgency::Normal < Urgency::Critical);
        for urgency in [Urgency::Low, Urgency::Normal, Urgency::Critical] {
            assert_eq!(Urgency::from_name(urgency.as_str()), Some(urgency));
        }
    }
}
