//! What the client library and the program promise.

// Helpers of tests are tests, though clippy sees only the functions that carry the mark.
#![allow(clippy::unwrap_used)]

mod bench;
mod client;
mod config;
mod doctor;
mod edge;
mod help;
mod home;
mod inbox;
mod mcp;
mod member;
mod ping;
mod place;
mod program;
mod status;
mod up;
