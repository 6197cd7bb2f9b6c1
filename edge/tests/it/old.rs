//! The 0.8.9 client, played by a script that follows wire-protocol's client side to the letter and
//! uses nothing of ours, against two edges: every line of 12.1 that concerns hello, messaging,
//! presence, profile, groups, stats, join and health, each by its number; and what its tools do with
//! what a mesh shares, between it and clients of ours both ways.

pub mod crypto;
mod files;
mod groups;
mod hello;
mod hooks;
pub mod join;
mod messaging;
pub mod peer;
mod presence;
mod reminders;
mod restart;
mod shared;
mod work;

use crate::harness::TestMesh;
use peer::{Client, Config};

/// A new member whose configuration names this edge.
pub async fn member(mesh: &TestMesh, name: &str, edge: usize) -> Config {
    let member = mesh.member(name).await;
    Config {
        mesh_id: member.mesh_id,
        member_id: member.id,
        secret_key: member.keys.secret.hex().to_string(),
        broker_url: url(mesh, edge),
        display_name: Some(name.to_owned()),
        session_id: None,
        groups: Vec::new(),
        folder: "/work/project".into(),
    }
}

/// A new member and its running client, on this edge.
pub async fn client(mesh: &TestMesh, name: &str, edge: usize) -> Client {
    Client::open(&member(mesh, name, edge).await).await
}

/// The socket URL of an edge.
pub fn url(mesh: &TestMesh, edge: usize) -> String {
    format!("ws://127.0.0.1:{}/ws", mesh.edges[edge].port)
}
