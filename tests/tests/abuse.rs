//! What a peer cannot make an edge do, however it misbehaves.

use std::fs;

use futures_util::SinkExt;
use skein_tests::place::{Place, Setup};
use tokio_tungstenite::tungstenite::Message;

/// Pings, each of which asks for a pong as long as itself: 75 MB of them.
const N_PINGS: usize = 600_000;
/// What an edge may need for one that does not read its pongs: two frames, and room.
const MEMORY_MAX: usize = 24 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn pongs_that_nobody_reads_take_no_memory() {
    let mut place = Place::start(Setup { edges: 1, workers: 0, ..Setup::default() }).await;
    let url = place.edges[0].url();
    let pid = place.edges[0].program().pid();
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.expect("the edge is there");
    let before = memory(pid);

    let mut peak = before;
    for n in 0..N_PINGS {
        // It may end the connection for this.
        if socket.feed(Message::Ping(vec![0; 125].into())).await.is_err() {
            break;
        }
        if n.is_multiple_of(N_PINGS / 100) {
            peak = peak.max(memory(pid));
        }
    }

    assert!(peak - before < MEMORY_MAX, "{} bytes", peak - before);
    place.stop().await;
}

/// The memory of a process that is its own, in bytes.
fn memory(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux tells");
    let kib: usize = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("kB");
    kib * 1024
}
