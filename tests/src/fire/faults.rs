//! The faults of a run, one after the other.

use std::time::{Duration, Instant};

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::{KILLS, Variant, traffic::Budget};
use crate::{peer::Peer, place::Place, proxy::Moment, record::Record};

/// What is sent before the first kill, in steps, where sessions are to stay attached.
const CALM_SHARES: [f64; 5] = [0.1, 0.2, 0.3, 0.4, 0.5];
/// Between two faults, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 300..1500;
/// From the beginning of some traffic to the fault, in milliseconds.
const PHASE_MS: std::ops::Range<u64> = 0..80;
/// How long a killed edge stays away, in milliseconds.
const AWAY_MS: std::ops::Range<u64> = 100..1000;
/// How long an edge is looked at before another is killed instead.
const UNSETTLED_PATIENCE: Duration = Duration::from_secs(4);
/// Kills that may be without unsettled rows before a run is given up as void.
const KILLS_MAX: usize = 3 * KILLS;
/// How long a commit is waited for.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);
/// A paused edge is declared dead after 15 s and has lost everything by now.
const EDGE_PAUSE: Duration = Duration::from_secs(40);
/// How long a peer of ours stays away, in milliseconds.
const LEAVE_MS: std::ops::Range<u64> = 2000..6000;

/// What was done.
#[derive(Debug, Default)]
pub struct Faults {
    /// See [`Report`](super::Report).
    pub kills: usize,
    /// See [`Report`](super::Report).
    pub restarts: usize,
    /// See [`Report`](super::Report).
    pub cuts: usize,
    /// Edges that were paused, went on, and found themselves dead.
    pauses: usize,
}

impl Faults {
    /// Why a run of this variant proves nothing.
    pub fn void(&self, variant: Variant, swallowed: u64) -> Vec<String> {
        let mut void = Vec::new();
        if self.kills < KILLS {
            void.push(format!("{} edges were killed with unsettled rows", self.kills));
        }
        if self.restarts == 0 {
            void.push("the database was not restarted with a commit in flight".into());
        }
        if self.cuts == 0 {
            void.push("no listener was cut".into());
        }
        if variant == Variant::Deaf && swallowed == 0 {
            void.push("no notification was swallowed".into());
        }
        if variant == Variant::Paused && self.pauses == 0 {
            void.push("no paused edge was declared dead and went on".into());
        }
        void
    }
}

/// Makes the faults of a run. Every edge serves when this returns.
pub async fn make(
    place: &mut Place,
    peers: &[Peer],
    record: &Record,
    variant: Variant,
    budget: &Budget,
    rng: &mut StdRng,
) -> Faults {
    let mut faults = Faults::default();
    let mut paused: Option<(usize, i32, Instant)> = None;
    let mut spent = 0.0;
    if variant == Variant::Aged {
        // A killed edge would make its sessions fresh again: the other faults come first.
        for share in CALM_SHARES {
            budget.release(share);
            sleep(Duration::from_millis(rng.random_range(PAUSE_MS))).await;
            faults.cuts += usize::from(place.proxy.cut_listener());
            spent = share;
        }
        faults.restarts += usize::from(restart(place, rng).await);
    }
    for n in 0..KILLS_MAX {
        if faults.kills >= KILLS && faults.restarts > 0 && faults.cuts > 0 {
            break;
        }
        sleep(Duration::from_millis(rng.random_range(PAUSE_MS))).await;
        // A share of what is left: something is left however many kills it takes.
        let step = (1.0 - spent) / KILLS as f64;
        spent += step;
        let share = spent;
        if n == 1 && variant == Variant::Paused {
            let (edge, node) = quiet_edge(place, peers.len(), rng).await;
            place.edges[edge].pause();
            record.paused(&place.edges[edge].url());
            paused = Some((edge, node, Instant::now()));
        }
        if n == 3 || (n == 6 && faults.cuts == 0) {
            faults.cuts += usize::from(place.proxy.cut_listener());
        }
        if n == 4 || (n == 8 && faults.restarts == 0) {
            budget.release(share - 0.5 * step);
            faults.restarts += usize::from(restart(place, rng).await);
        }
        if n == 2 || n == 7 {
            let ours: Vec<&Peer> = peers.iter().filter(|p| matches!(p, Peer::Ours(_))).collect();
            let away = ours.choose(rng);
            let away_for = Duration::from_millis(rng.random_range(LEAVE_MS));
            let kill = kill(place, paused.map(|p| p.0), || budget.release(share), rng);
            let (kill, ()) = tokio::join!(kill, async {
                if let Some(away) = away {
                    away.leave().await;
                    sleep(away_for).await;
                    away.come_back().await;
                }
            });
            faults.kills += usize::from(kill);
            continue;
        }
        let kill = kill(place, paused.map(|p| p.0), || budget.release(share), rng);
        faults.kills += usize::from(kill.await);
    }
    if let Some((edge, node, since)) = paused {
        sleep(EDGE_PAUSE.saturating_sub(since.elapsed())).await;
        let is_dead = state(&place.db().await, node).await != "alive";
        place.edges[edge].resume();
        faults.pauses += usize::from(is_dead);
    }
    for edge in &place.edges {
        edge.ready().await;
    }
    faults
}

/// An edge that has sessions, but leaves most of them to the others if there is one, and its node.
/// Traffic between peers that wait for a paused edge would give the kills nothing.
async fn quiet_edge(place: &Place, peers: usize, rng: &mut StdRng) -> (usize, i32) {
    let busy = busy_edges(place, None).await;
    let quiet: Vec<_> = busy.iter().filter(|edge| edge.sessions * 2 < peers).collect();
    let fewest = || busy.iter().min_by_key(|edge| edge.sessions).expect("one is busy");
    let edge = quiet.choose(rng).map_or_else(fewest, |edge| *edge);
    (edge.place, edge.node)
}

/// Kills an edge at a moment when something of its sessions is unsettled, and starts it again;
/// whether there was such a moment. `talk` gives its sessions something.
async fn kill(
    place: &mut Place,
    spare: Option<usize>,
    talk: impl FnOnce(),
    rng: &mut StdRng,
) -> bool {
    let busy = busy_edges(place, spare).await;
    let Busy { place: victim, node, .. } = *busy.choose(rng).expect("one is busy");
    let db = place.db().await;
    talk();
    sleep(Duration::from_millis(rng.random_range(PHASE_MS))).await;
    let had_work = timeout(UNSETTLED_PATIENCE, unsettled(&db, node)).await.is_ok();
    place.edges[victim].kill().await;
    sleep(Duration::from_millis(rng.random_range(AWAY_MS))).await;
    place.edges[victim].start();
    place.edges[victim].ready().await;
    had_work
}

/// An edge that has sessions.
struct Busy {
    /// Which one of the place.
    place: usize,
    /// The node that its process is.
    node: i32,
    /// How many sessions it has.
    sessions: usize,
}

/// The edges that have sessions, at least one; `spare` is not looked at.
async fn busy_edges(place: &Place, spare: Option<usize>) -> Vec<Busy> {
    let busy = "
        select n.id, n.url, count(*) as sessions
          from node n
          join presence p on p.node = n.id
         where n.state = 'alive'
           and n.id = (select max(id) from node o where o.url = n.url)
         group by n.id, n.url";
    loop {
        let rows = place.db().await.query(busy, &[]).await.expect("the database serves");
        let busy: Vec<Busy> = rows
            .iter()
            .filter_map(|row| {
                let url: &str = row.get("url");
                let edge = place.edges.iter().position(|edge| edge.url() == url)?;
                let sessions = row.get::<_, i64>("sessions") as usize;
                let busy = || Busy { place: edge, node: row.get("id"), sessions };
                (Some(edge) != spare).then(busy)
            })
            .collect();
        if !busy.is_empty() {
            return busy;
        }
        // Everybody is on the way somewhere.
        sleep(Duration::from_millis(20)).await;
    }
}

/// Returns at a moment when rows of sessions at this node are unsettled.
async fn unsettled(db: &Client, node: i32) {
    let count = "
        select count(*)
          from delivery d
          join presence p on p.session = d.recipient
         where p.node = $1";
    loop {
        // A database that is just starting again has no such moment.
        let Ok(row) = db.query_one(count, &[&node]).await else {
            return std::future::pending().await;
        };
        if row.get::<_, i64>(0) > 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Cuts the database's power while a commit is in flight, before or after it took effect; whether
/// there was one.
async fn restart(place: &mut Place, rng: &mut StdRng) -> bool {
    let at = if rng.random() { Moment::BeforeServer } else { Moment::AfterServer };
    let was_committing = place.proxy.hold_commit(at, COMMIT_PATIENCE).await;
    place.server.kill().await;
    place.proxy.cut_all();
    place.server.resume().await.expect("PostgreSQL starts again");
    was_committing
}

async fn state(db: &Client, node: i32) -> String {
    let state = "select state from node where id = $1";
    db.query_one(state, &[&node]).await.expect("the database serves").get(0)
}
