//! Traffic: every peer sends to random others, in bursts, and now and then to everybody.
//!
//! Messages are given out in shares, one before each fault, so that there are some on their way
//! whenever one strikes; once the faults are over, the rest is sent as fast as it can be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    peer::Peer,
    place::Place,
    record::{Class, To},
};

/// Messages that one peer sends in one go.
const BURST: std::ops::RangeInclusive<u64> = 4..=24;
/// Between two bursts of a peer.
const PAUSE_MS: u64 = 120;
/// One burst in so many is for everybody.
const MULTICAST_ONE_IN: u32 = 12;

/// How many messages are left, and how many may be sent by now.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    due: AtomicU64,
    spent: AtomicU64,
}

impl Budget {
    /// A budget of so many messages, none of which may be sent yet.
    pub fn new(total: u64) -> Self {
        Self { total, due: AtomicU64::new(0), spent: AtomicU64::new(0) }
    }

    /// This share of it may be sent by now.
    pub fn release(&self, share: f64) {
        let due = (self.total as f64 * share.min(1.0)) as u64;
        self.due.fetch_max(due, Ordering::Relaxed);
    }

    /// Takes up to `n` messages once they may be sent; none when there are none left.
    async fn take(&self, n: u64) -> Option<u64> {
        loop {
            let spent = self.spent.load(Ordering::Relaxed);
            if spent >= self.total {
                return None;
            }
            let n = n.min(self.due.load(Ordering::Relaxed).saturating_sub(spent));
            let took = || {
                let (ok, fail) = (Ordering::Relaxed, Ordering::Relaxed);
                self.spent.compare_exchange(spent, spent + n, ok, fail).is_ok()
            };
            if n > 0 && took() {
                return Some(n);
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Every peer begins to talk; each ends when the budget is spent.
pub fn start(
    peers: &Arc<Vec<Peer>>,
    budget: &Arc<Budget>,
    rng: &mut StdRng,
) -> Vec<JoinHandle<()>> {
    (0..peers.len())
        .map(|me| {
            let rng = StdRng::seed_from_u64(rng.random());
            tokio::spawn(talk(me, peers.clone(), budget.clone(), rng))
        })
        .collect()
}

async fn talk(me: usize, peers: Arc<Vec<Peer>>, budget: Arc<Budget>, mut rng: StdRng) {
    while let Some(n) = budget.take(rng.random_range(BURST)).await {
        if rng.random_ratio(1, MULTICAST_ONE_IN) {
            for _ in 0..n {
                peers[me].send(To::All, Class::Multicast).await;
            }
            continue;
        }
        let to = (me + rng.random_range(1..peers.len())) % peers.len();
        for _ in 0..n {
            let class = if rng.random_ratio(1, 4) { Class::Now } else { Class::Rest };
            peers[me].send(To::Peer(to), class).await;
        }
        sleep(Duration::from_millis(rng.random_range(0..PAUSE_MS))).await;
    }
}

/// Peers move from edge to edge, one after the other, until the task is aborted.
pub fn start_moving(peers: &Arc<Vec<Peer>>, place: &Place, rng: &mut StdRng) -> JoinHandle<()> {
    let peers = peers.clone();
    let edges: Vec<String> = place.edges.iter().map(|edge| edge.url()).collect();
    let mut rng = StdRng::seed_from_u64(rng.random());
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(rng.random_range(20..150))).await;
            let (who, to) = (rng.random_range(0..peers.len()), rng.random_range(0..edges.len()));
            peers[who].move_to(&edges[to]).await;
        }
    })
}
