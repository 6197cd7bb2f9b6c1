//! A look at one edge, hop by hop: what `ping`, `status` and `doctor` know of the way.
//!
//! [`route`] goes from a URL to an open stream, [`health`] asks the edge over HTTP, [`talk`] goes
//! on from a stream to a session. Each step says what it found, or why it is broken and what mends
//! it.
//! They use what the client itself uses (its TLS, its hello, its seals), so what they find is what
//! the client would meet. Nothing of a probe reaches an inbox.

pub mod health;
pub mod route;
pub mod talk;

use std::time::Duration;

/// How long a single step may take.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Why a step is broken, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl Fault {
    /// A fault with its fix.
    pub fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: fix.into() }
    }
}
