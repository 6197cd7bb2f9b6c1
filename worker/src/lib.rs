//! The worker: what happens without a request.
//!
//! Any number of workers run against one database. Each is a node with a heartbeat, and the
//! workers watch the beats of all nodes: one that stands still is declared dead and fenced
//! (`watch`, `beats`). The other work is duties, which the workers divide among themselves by
//! locks (`duty`, `share`): each kind of duty has a connection of its own, which holds the locks
//! of its buckets and runs its statements. The kinds are the sweep (`sweep`), the audit log
//! (`audit`), schedules (`schedule`), simulation clocks (`clock`) and URL watches (`watches`).
//! Messages that a duty stored are told on another connection, after the commit (`telling`).
//!
//! A worker that is itself declared dead loses its connections, and with them every lock; it
//! notices and starts again as a new node ([`run`]). A worker that is stopped gives its duties
//! away at once.
//!
//! To add a kind: a variant of `skein_sql::duties::Kind` and of `duty::Work`, and its module.

mod audit;
mod beats;
mod clock;
mod config;
mod duty;
mod ear;
mod error;
mod heart;
mod life;
mod schedule;
mod share;
mod start;
mod sweep;
mod tally;
mod telling;
mod watch;
mod watches;

pub use config::{Config, Log};
pub use error::{Error, Result};
pub use life::{Options, Timing, run};
pub use sweep::Ages;
pub use watches::Fetching;
