//! The data layer: all SQL of Skein is in this crate.
//!
//! One module a noun. A statement stands beside the function that runs it, in the module's
//! `statements!` list, and a test prepares every one of them against the migrated schema. Functions
//! take `&impl GenericClient`, so they work alone and inside a caller's transaction.
//!
//! Connections come from a [`Connector`]: they carry the node's name, keepalives and timeouts, and
//! say nothing before they registered themselves with their node (see [`nodes`]).

mod client;
mod connect;
mod error;
mod statement;

pub mod api_keys;
pub mod attach;
pub mod audit;
pub mod clock;
pub mod contexts;
pub mod direct;
pub mod duties;
pub mod fail;
pub mod fence;
pub mod files;
pub mod health;
pub mod invites;
pub mod members;
pub mod memory;
pub mod meshes;
pub mod messages;
pub mod migrate;
pub mod nodes;
pub mod nonces;
pub mod note;
pub mod partitions;
pub mod presence;
pub mod relay;
pub mod schedules;
pub mod serve;
pub mod sessions;
pub mod settle;
pub mod skills;
pub mod state;
pub mod store;
pub mod streams;
pub mod sweep;
pub mod tasks;
pub mod tell;
pub mod watches;
pub mod webhooks;

pub use client::GenericClient;
pub use connect::{Connector, Db, Listener, Notification, Pool, Settings};
pub use error::{Error, Result};
pub use statement::all as statements;

pub use tokio_postgres::error::SqlState;

/// Takes a connection out of its pool for good: one whose transaction failed is not used again.
pub fn discard(db: Db) {
    drop(deadpool_postgres::Object::take(db));
}

/// Formats a moment as the wire does: ISO 8601, UTC, milliseconds, `Z`.
pub fn iso(at: jiff::Timestamp) -> String {
    format!("{at:.3}")
}

/// A new id of a row, in the order of making: 32 hex characters.
fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}
