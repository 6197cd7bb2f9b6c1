//! Traffic: every peer sends to random others, in bursts, and now and then to everybody.
//!
//! Messages are given out as time passes, so that there are some left for every fault; once the
//! faults are over, the rest is sent as fast as it can be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    peer::Peer,
    place::Place,
    record::{Class, To},
};

/// How long the faults of a run take, about: over this time the messages are spread.
const SPREAD: Duration = Duration::from_secs(45);
/// Messages that one peer sends in one go.
const BURST: std::ops::RangeInclusive<u64> = 4..=24;
/// One burst in so many is for everybody.
const MULTICAST_ONE_IN: u32 = 12;

/// How many messages are left, and how many may be sent by now.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    spent: AtomicU64,
    since: Instant,
    is_open: AtomicBool,
}

impl Budget {
    /// A budget of so many messages, spread over the time that faults take.
    pub fn new(total: u64) -> Self {
        let (spent, is_open) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { total, spent, since: Instant::now(), is_open }
    }

    /// All of it may be sent now.
    pub fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// Takes up to `n` messages once they may be sent; none when there are none left.
    async fn take(&self, n: u64) -> Option<u64> {
        loop {
            let spent = self.spent.load(Ordering::Relaxed);
            let n = n.min(self.total.saturating_sub(spent));
            if n == 0 {
                return None;
            }
            // A tenth is kept for the last faults, however long they take.
            let share = (self.since.elapsed().as_secs_f64() / SPREAD.as_secs_f64()).min(0.9);
            let due = (self.total as f64 * share) as u64;
            let is_due = self.is_open.load(Ordering::Relaxed) || spent < due;
            let took = || {
                let (ok, fail) = (Ordering::Relaxed, Ordering::Relaxed);
                self.spent.compare_exchange(spent, spent + n, ok, fail).is_ok()
            };
            if is_due && took() {
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
        sleep(Duration::from_millis(rng.random_range(0..40))).await;
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
