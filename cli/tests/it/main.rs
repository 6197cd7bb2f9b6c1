//! What the client library and the program promise.

// Helpers of tests are tests, though clippy sees only the functions that carry the mark.
#![allow(clippy::unwrap_used)]

mod audit;
mod bench;
mod client;
mod clock;
mod config;
mod doctor;
mod edge;
mod help;
mod home;
mod inbox;
mod key;
mod mcp;
mod member;
mod memory;
mod peer_file;
mod ping;
mod place;
mod program;
mod readme;
mod remind;
mod state;
mod status;
mod stream;
mod task;
mod up;
mod watch;
mod webhook;
mod worker;
