//! The subjects of the toast service.

/// Published or requested by whoever wants a toast; see [`decode::request`](super::decode::request).
pub const IN: &str = "toast.in";
/// Event: a toast is shown. A presenter that knows the id draws it anew.
pub const SHOW: &str = "toast.show";
/// Event: a toast is gone, and why.
pub const CLOSED: &str = "toast.closed";
/// Event: the user chose an action. Published by the presenter; the service then closes the toast.
pub const ACTION: &str = "toast.action";
/// Request: takes a toast back (reason `closed`).
pub const CLOSE: &str = "toast.close";
/// Request, or published by a presenter: the user put a toast away (reason `dismissed`).
pub const DISMISS: &str = "toast.dismiss";
/// Request: the toasts that are present.
pub const LIST: &str = "toast.list";
/// Request: the toasts that were closed last.
pub const HISTORY: &str = "toast.history";
