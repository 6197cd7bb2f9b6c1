//! What the edge promises, over real sockets, on a real PostgreSQL.

mod harness;
mod messaging;
mod acceptor;
mod http;
mod join;
mod rest;
mod web;
