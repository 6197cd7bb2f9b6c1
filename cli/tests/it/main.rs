//! What the client library and the program promise.

// Helpers of tests are tests, though clippy sees only the functions that carry the mark.
#![allow(clippy::unwrap_used)]

mod client;
mod edge;
mod help;
mod home;
mod inbox;
mod program;
mod up;
