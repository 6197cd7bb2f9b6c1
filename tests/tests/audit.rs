//! The audit log under fire: four edges write at once, one is killed, and the chain is whole.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use skein_crypto::audit::{Chain, Link};
use skein_sql::audit;
use skein_tests::{
    peer::{Caps, Raw},
    place::{Place, Setup},
};
use tokio::{task::JoinSet, time::sleep};

const EDGES: usize = 4;
/// Messages in flight of one peer.
const WINDOW: usize = 50;
/// How long the log may take to have everything, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_secs(60);

/// Entries that are written: `SKEIN_AUDIT_ENTRIES`, or few enough for every day.
fn n_entries() -> usize {
    std::env::var("SKEIN_AUDIT_ENTRIES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_edges_write_one_chain_though_one_is_killed() {
    let mut place = Place::start(Setup { edges: EDGES, workers: 2, ..Setup::default() }).await;
    let each = n_entries() / EDGES;
    let acked = Arc::new(AtomicUsize::new(0));
    let (mut peers, mut cut_off) = (JoinSet::new(), JoinSet::new());
    for edge in 0..EDGES {
        let peer = Raw::attach(&place.enrol(edge, edge).await, Caps::Ours).await;
        // The last edge's peer is cut off with it; what it was told is stored counts.
        let set = if edge == EDGES - 1 { &mut cut_off } else { &mut peers };
        set.spawn(write(peer, edge, each, acked.clone()));
    }

    let begun = "select count(*) from message";
    let some = i64::try_from(n_entries() / 4).expect("a number of entries");
    while place.count(begun).await < some {
        sleep(Duration::from_millis(10)).await;
    }
    place.edges[EDGES - 1].kill().await;
    peers.join_all().await;
    // It finds its socket gone, if it had not said everything.
    cut_off.shutdown().await;
    let n_acked = acked.load(Ordering::Relaxed);

    let stored = "select count(*) from message";
    let chained = "select coalesce(sum(coalesce((payload::json->>'count')::bigint, 1)), 0)::bigint
                     from audit where event_type = 'message_sent'";
    let waiting = async {
        while place.count(stored).await != place.count(chained).await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("every message is in the log, once");

    let db = place.db().await;
    let n_stored = usize::try_from(place.count(stored).await).expect("a count");
    assert!((3 * each..=n_stored).contains(&n_acked), "{n_acked} of {n_stored}");
    let (mut chain, mut n_of) = (Chain::start(&place.mesh_id), BTreeMap::new());
    let mesh: i64 = place.count("select no from mesh").await;
    loop {
        let after = chain.no().cast_signed();
        let page = audit::after(&db, mesh, after, 1000).await.expect("the log can be read");
        if page.is_empty() {
            break;
        }
        for entry in page {
            let link = Link {
                no: entry.no.unsigned_abs(),
                event_type: &entry.event_type,
                actor: &entry.actor_id,
                payload: &entry.payload,
                created_at: &entry.created_at,
                hash: &entry.hash,
            };
            assert_eq!(chain.take(&link), Ok(()), "{entry:?}");
            *n_of.entry(entry.event_type).or_insert(0_usize) += 1;
        }
    }
    assert_eq!(n_of["message_sent"], n_stored, "each went to a group of its own");
    assert_eq!(n_of["peer_joined"], EDGES);
    place.stop().await;
}

/// Writes to groups that no other message is for, so that each is an entry of its own; counts what
/// was acknowledged.
async fn write(mut peer: Raw, edge: usize, n: usize, acked: Arc<AtomicUsize>) {
    for first in (0..n).step_by(WINDOW) {
        let window: Vec<String> =
            (first..n.min(first + WINDOW)).map(|i| format!("{edge:016x}{i:016x}")).collect();
        for id in &window {
            peer.say(id, &format!("@{id}"), "x").await;
        }
        for id in &window {
            peer.outcome(id).await.expect("a group is always a target");
            acked.fetch_add(1, Ordering::Relaxed);
        }
    }
}
