//! What the edge promises, over real sockets, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

mod abuse;
mod acceptor;
mod access;
mod api_keys;
mod audit;
mod catch_up;
mod clock;
mod conformance;
mod contexts;
mod contract;
mod document;
mod drain;
mod groups;
mod harness;
mod hello;
mod http;
mod join;
mod limits;
mod lost;
mod memory;
mod mesh_info;
mod messaging;
mod old;
mod peer_files;
mod posting;
mod presence;
mod profile;
mod promises;
mod python;
mod quirks;
mod refusals;
mod relay;
mod rest;
mod schedules;
mod shared_rest;
mod skills;
mod state;
mod stats;
mod streams;
mod tasks;
mod watches;
mod web;
mod webhooks;
