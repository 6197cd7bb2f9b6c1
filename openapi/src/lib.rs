//! The REST objects, one file per resource. The edge serves them, the data layer fills them, the
//! CLI reads them; `openapi.json` beside this crate is written by a test from the edge's routes.
//!
//! Every route of ours answers failures with [`Error`]. The reference's own routes ([`join`],
//! [`hook`], [`health`]) keep their exact shapes. Moments are text: ISO 8601, UTC, milliseconds,
//! `Z`.

pub mod api_keys;
pub mod audit;
pub mod error;
pub mod health;
pub mod hook;
pub mod invites;
pub mod join;
pub mod members;
pub mod meshes;
pub mod messages;
pub mod nodes;
pub mod state;
pub mod tasks;
pub mod webhooks;
pub mod workers;

pub use error::Error;
