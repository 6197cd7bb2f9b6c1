//! The program `skein`, and the client library that it, the tests and the load tools share.
//!
//! [`client`] keeps one session attached to a mesh, whatever edges come and go. [`home`] is what a
//! person keeps on disk: memberships, keys, the inbox. [`local`] runs a whole mesh on this machine.
//! [`commands`] is one file a command.

pub mod client;
pub mod commands;
pub mod error;
pub mod files;
pub mod home;
pub mod local;
pub mod output;
pub mod rest;
pub mod time;

pub use error::{Error, Result};
