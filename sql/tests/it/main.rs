//! What the data layer promises, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

mod api_keys;
mod audit;
mod catalogue;
mod clock;
mod direct;
mod duties;
mod fence;
mod invites;
mod members;
mod memory;
mod meshes;
mod nonces;
mod partitions;
mod place;
mod relay;
mod room;
mod schedules;
mod skills;
mod state;
mod statements;
mod streams;
mod sweep;
mod watches;
mod webhooks;
