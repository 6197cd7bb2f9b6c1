//! `skein mcp`: an agent's host on one side, edges on the other, and what goes between them.

mod contract;
mod eras;
mod homes;
pub mod host;
mod later;
mod lines;
mod meshes;
mod odd;
mod reading;
mod shown;
mod table;
mod tools;
mod webhooks;
mod work;

pub use self::host::join;
