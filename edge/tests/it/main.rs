//! What the edge promises, over real sockets, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

mod abuse;
mod acceptor;
mod access;
mod conformance;
mod drain;
mod groups;
mod harness;
mod hello;
mod http;
mod join;
mod limits;
mod messaging;
mod old;
mod presence;
mod profile;
mod quirks;
mod rest;
mod stats;
mod web;
