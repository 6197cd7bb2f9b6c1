//! The watch: every worker looks at all nodes, declares dead those that stand still, and fences
//! those that are dead.
//!
//! It belongs to no duty: whoever holds a duty may be the one that died. Each step is guarded by
//! the row's state, so any number of workers may take it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use skein_sql::{
    GenericClient, Settings,
    duties::Kind,
    fail,
    fence::{self, Fence, Observed, State},
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::{Error, Result, beats::Beats, life::Life, share::Seats};

/// Between attempts to get a connection back.
const RETRY: Duration = Duration::from_millis(500);
/// Between two looks while backends are ending: they do so in milliseconds.
const FENCING_LOOK: Duration = Duration::from_millis(100);
/// How often it is said again that a fence waits.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Watches until the life ends.
///
/// # Errors
/// When this node was declared dead, and nothing else.
pub async fn run(life: Arc<Life>) -> Result<()> {
    let mut watch = Watch {
        beats: Beats::new(life.timing.still_max, life.timing.read_max),
        said: HashMap::new(),
    };
    let watching = async {
        loop {
            let Err(error) = watch.on_one_connection(&life).await else { continue };
            if error.is_fenced() {
                return Err(error);
            }
            watch.beats.restart();
            let error = error.chain();
            warn!(error, "watching failed: {error}");
            sleep(RETRY).await;
        }
    };
    tokio::select! {
        ended = watching => ended,
        () = life.stop.cancelled() => Ok(()),
    }
}

struct Watch {
    beats: Beats,
    /// When it was last said that the fence of a node waits.
    said: HashMap<i32, Instant>,
}

impl Watch {
    async fn on_one_connection(&mut self, life: &Life) -> Result<()> {
        let within = life.timing.read_max;
        let connect = life.connector.connect_cached(Settings::Ordinary);
        let db = timeout(within, connect).await.map_err(|_| Error::Late)??;
        loop {
            let wait = self.once(life, &db).await?;
            tokio::select! {
                () = sleep(wait) => (),
                () = life.look.notified() => (),
            }
        }
    }

    /// One look, and what follows from it; returns how long to wait for the next.
    async fn once(&mut self, life: &Life, db: &impl GenericClient) -> Result<Duration> {
        let asked = Instant::now();
        let read = timeout(life.timing.read_max, fence::observe(db)).await;
        let mut nodes = read.map_err(|_| Error::Late)??;
        if !nodes.iter().any(|node| node.id == life.node && is_alive(node)) {
            return Err(skein_sql::Error::Fenced.into());
        }
        self.divide(life, &nodes);
        self.declare(db, asked, &mut nodes).await?;
        let is_fencing = self.fence(db, &mut nodes).await?;
        if nodes.iter().any(|node| node.state == State::Fenced) {
            life.wake(Kind::Sweep).notify_one();
        }
        Ok(if is_fencing { FENCING_LOOK.min(life.timing.look) } else { life.timing.look })
    }

    /// Tells the duties who shares them.
    fn divide(&self, life: &Life, nodes: &[Observed]) {
        let of_kind = |kind| {
            let seated = |n: &&Observed| n.is_worker && is_alive(n) && n.seats.contains(&kind);
            (kind, nodes.iter().filter(seated).map(|node| node.id).collect())
        };
        let seats = Seats(Kind::ALL.into_iter().map(of_kind).collect());
        life.seats.send_if_modified(|old| {
            let changed = *old != seats;
            *old = seats;
            changed
        });
    }

    /// Declares dead what stood still.
    async fn declare(
        &mut self,
        db: &impl GenericClient,
        asked: Instant,
        nodes: &mut [Observed],
    ) -> Result<()> {
        let beats: Vec<(i32, i64)> =
            nodes.iter().filter(|n| is_alive(n)).map(|n| (n.id, n.beat)).collect();
        for (node, beat) in self.beats.read(asked, Instant::now(), &beats) {
            if fence::mark_dead(db, node, beat).await? {
                warn!(node, beat, "node {node} is dead: its beat stands still at {beat}");
                nodes.iter_mut().filter(|n| n.id == node).for_each(|n| n.state = State::Dead);
            }
        }
        Ok(())
    }

    /// Fences what is dead; returns whether backends are ending.
    async fn fence(&mut self, db: &impl GenericClient, nodes: &mut [Observed]) -> Result<bool> {
        let mut is_fencing = false;
        for observed in nodes.iter_mut().filter(|node| node.state == State::Dead) {
            let node = observed.id;
            fail::point("worker.dead_not_fenced").await;
            match fence::close(db, node).await? {
                Fence::Closed => {
                    observed.state = State::Fenced;
                    info!(node, "node {node} is fenced");
                }
                Fence::Ending(_) => is_fencing = true,
                Fence::Waiting(n_left) => self.say_waiting(node, n_left),
            }
        }
        Ok(is_fencing)
    }

    fn say_waiting(&mut self, node: i32, n_left: usize) {
        let now = Instant::now();
        if self.said.get(&node).is_none_or(|last| now - *last >= SAY_AGAIN) {
            self.said.insert(node, now);
            warn!(
                node,
                n_left,
                "node {node} is dead, but {n_left} of its backends are left and this role may not \
                 end them: its peers and duties wait"
            );
        }
    }
}

fn is_alive(node: &Observed) -> bool {
    matches!(node.state, State::Alive | State::Draining)
}
