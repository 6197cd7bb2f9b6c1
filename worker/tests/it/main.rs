//! What workers promise, on a real PostgreSQL, within this process and as processes of their own.

mod death;
mod duties;
mod outage;
mod place;
mod process;
