//! What workers promise, on a real PostgreSQL, within this process and as processes of their own.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

mod audit;
mod clock;
mod death;
mod duties;
mod leases;
mod outage;
mod place;
mod process;
mod schedules;
mod state;
mod watches;
mod web;
