//! What the edge promises, over real sockets, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

mod harness;
mod messaging;
mod acceptor;
mod http;
mod join;
mod rest;
mod web;
mod groups;
mod hello;
mod presence;
mod profile;
mod stats;
