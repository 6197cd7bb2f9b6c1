//! What the edge promises, over real sockets, on a real PostgreSQL.

mod harness;
mod messaging;
