//! What the data layer promises, on a real PostgreSQL.

mod direct;
mod duties;
mod fence;
mod place;
mod sweep;
