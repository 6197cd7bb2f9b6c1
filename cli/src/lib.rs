//! The program `skein`, and the client library that it, the tests and the load tools share.
//!
//! [`client`] keeps one session attached to a mesh, whatever edges come and go. [`home`] is what a
//! person keeps on disk: memberships, keys, the inbox. [`local`] runs a whole mesh on this machine.
//! [`mcp`] makes an agent a peer. [`commands`] is one file a command.

pub mod bench;
pub mod client;
pub mod commands;
pub mod error;
pub mod files;
pub mod home;
pub mod local;
pub mod mcp;
pub mod output;
pub mod probe;
pub mod rest;
pub mod schedules;
pub mod shared;
pub mod time;
pub mod tls;
pub mod when;

pub use error::{Error, Result};
