//! What the edge promises, over real sockets, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

mod abuse;
mod acceptor;
mod access;
mod api_keys;
mod audit;
mod conformance;
mod contexts;
mod document;
mod drain;
mod groups;
mod harness;
mod hello;
mod http;
mod join;
mod limits;
mod memory;
mod mesh_info;
mod messaging;
mod old;
mod peer_files;
mod presence;
mod profile;
mod python;
mod quirks;
mod relay;
mod rest;
mod shared_rest;
mod skills;
mod state;
mod stats;
mod streams;
mod tasks;
mod web;
mod webhooks;
