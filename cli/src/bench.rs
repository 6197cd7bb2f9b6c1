//! Measuring a deployment from outside: what `skein bench` runs.
//!
//! Any edges will do, as long as their operator lets us make meshes. Every peer is a member of its
//! own with a socket of its own, and encrypts as clients do. A message counts when its recipient has
//! opened it and found in it what was sent; every message is also checked to come once and in
//! order, and a run in which one did not is no figure but an error.
//!
//! The load shares the machine with what it measures more often than not, so it is kept small: one
//! thread unless more are asked for, one task a socket, frames written and read by hand. What it
//! costs is in every report.
//!
//! | module | answers |
//! | --- | --- |
//! | [`deployment`] | whom to measure: edges, meshes, members, and how its database is set |
//! | [`socket`] | one attached socket |
//! | [`body`], [`order`] | what a message says, and whether it is what was said, once and in order |
//! | [`course`] | how far everybody is |
//! | [`peer`] | one sending and receiving peer |
//! | [`talk`] | runs of peers that send: direct, fan-out, burst |
//! | [`crowd`] | runs of sockets that attach: idle, hello |
//! | [`state`] | runs of peers that set keys |
//! | [`reconnect`] | an edge that goes away |
//! | [`process`], [`machine`] | what it cost, and where |
//! | [`report`] | what is printed |

pub mod body;
pub mod course;
pub mod crowd;
pub mod deployment;
pub mod machine;
pub mod order;
pub mod peer;
pub mod process;
pub mod reconnect;
pub mod report;
pub mod socket;
pub mod state;
pub mod talk;
