//! What the data layer promises, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

mod catalogue;
mod direct;
mod duties;
mod fence;
mod invites;
mod members;
mod meshes;
mod nonces;
mod partitions;
mod place;
mod statements;
mod sweep;
