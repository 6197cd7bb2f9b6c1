//! The sweep: what is over is put away, once, however often and by however many it is tried.

mod departures;
mod expiry;
mod memory;
mod nodes;
