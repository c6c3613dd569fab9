//! Parts of the server that are Cargo features, where they are left out: the same names, and nothing behind them.

#[cfg(not(feature = "leaf"))]
pub(super) mod leaf;
#[cfg(not(feature = "monitoring"))]
pub(super) mod monitor;
#[cfg(not(feature = "monitoring"))]
pub(super) mod system;
