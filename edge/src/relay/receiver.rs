//! The relay's way in: what other nodes' relays sent, in the order in which it was heard.
//!
//! It has a queue of its own, so that nothing here holds up messages. Frames in rows are taken out
//! in turns of bounded size; a turn is delivered before the next is read, so order is kept.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use skein_sql::{Pool, relay};
use skein_wire::limit;
use tokio::{sync::mpsc, time::Instant};
use tracing::{debug, error, warn};

use super::{
    Relay,
    parcel::{Body, Parcel, Parcels},
};
use crate::{measure, node::pause};

/// Notes that wait; past it they are dropped: calls are answered by their deadlines.
pub const HEARD_MAX: usize = 4096;
/// Parcels delivered in one turn.
const TURN_MAX: usize = 1024;
/// Bytes of their rows.
const TURN_BYTES_MAX: usize = 2 * limit::FRAME_BYTES_MAX;
/// How often the calls are looked through whose time is over.
const TICK: Duration = Duration::from_millis(200);
/// And how often, while answers wait for slow sockets.
const TICK_WAITING: Duration = Duration::from_millis(10);
/// How often the nodes are looked at that calls are open to.
const LOOK: Duration = Duration::from_secs(1);

/// Delivers what is heard, until nobody can say anything any more.
pub async fn run(relay: Arc<Relay>, pool: Pool, mut heard: mpsc::Receiver<Parcels>) {
    let mut counters: HashMap<i32, u64> = HashMap::new();
    while let Some(first) = heard.recv().await {
        let mut turn = Vec::new();
        let (mut next, mut n_bytes) = (Some(first), 0);
        while let Some(Parcels { w, c, l }) = next.take() {
            // One that was sent again, because its sender did not hear that it was sent.
            let last = counters.entry(w).or_default();
            if c <= *last {
                continue;
            }
            *last = c;
            n_bytes += l.iter().map(row_bytes).sum::<usize>();
            turn.extend(l.into_iter().map(|parcel| (w, parcel)));
            if turn.len() < TURN_MAX && n_bytes < TURN_BYTES_MAX {
                next = heard.try_recv().ok();
            }
        }
        if !deliver(&relay, &pool, turn).await {
            return;
        }
    }
}

fn row_bytes(parcel: &Parcel) -> usize {
    match parcel.body() {
        Some(Body::Row(_, n_bytes)) => *n_bytes,
        _ => 0,
    }
}

/// Delivers a turn; `false`: this node is over.
async fn deliver(relay: &Relay, pool: &Pool, turn: Vec<(i32, Parcel)>) -> bool {
    let mut turn = turn.into_iter().peekable();
    while turn.peek().is_some() {
        // One note may name many rows; they are read in parts too.
        let (mut part, mut n_bytes) = (Vec::new(), 0);
        while n_bytes < TURN_BYTES_MAX
            && let Some((from, parcel)) = turn.next()
        {
            n_bytes += row_bytes(&parcel);
            part.push((from, parcel));
        }
        let Some(mut frames) = take(relay, pool, &part).await else { return false };
        for (from, parcel) in part {
            let frame = match parcel.body() {
                None => Some(String::new()),
                Some(Body::Here(frame)) => Some(frame.clone()),
                Some(Body::Row(id, _)) => frames.remove(id),
            };
            match frame {
                Some(frame) => relay.deliver(from, parcel, frame),
                // Swept, or lost with a crash of the database.
                None => measure::relay_dropped(1),
            }
        }
    }
    true
}

/// Takes the rows out that parcels name; `None`: this node is over.
async fn take(relay: &Relay, pool: &Pool, part: &[(i32, Parcel)]) -> Option<HashMap<i64, String>> {
    let rows = part.iter().filter_map(|(_, parcel)| match parcel.body() {
        Some(Body::Row(id, _)) => Some(*id),
        _ => None,
    });
    let rows: Vec<i64> = rows.collect();
    if rows.is_empty() {
        return Some(HashMap::new());
    }
    loop {
        let taken = async {
            let db = pool.get().await?;
            relay::take(&db, relay.node, &rows).await
        };
        match taken.await {
            Ok(frames) => return Some(frames.into_iter().collect()),
            Err(error) if error.is_fenced() => return None,
            Err(error) if error.is_connection() || error.is_retriable() => {
                warn!(%error, "relayed frames wait for the database");
                pause::database(pool).await.ok()?;
            }
            Err(error) => {
                error!(
                    error = error.brief(),
                    n_rows = rows.len(),
                    "relayed frames could not be read"
                );
                return Some(HashMap::new());
            }
        }
    }
}

/// Ends calls in their time, and gives slow sockets what they have room for.
pub async fn tick(relay: Arc<Relay>) {
    loop {
        let waits = relay.turn(Instant::now());
        tokio::time::sleep(if waits { TICK_WAITING } else { TICK }).await;
    }
}

/// Ends calls to nodes that are gone: those of which two looks in a row find nothing.
pub async fn look(relay: Arc<Relay>, pool: Pool) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut suspects: HashSet<i32> = HashSet::new();
    loop {
        ticks.tick().await;
        let nodes = relay.called();
        if nodes.is_empty() {
            suspects.clear();
            continue;
        }
        let gone = async {
            let db = pool.get().await?;
            relay::gone(&db, &nodes).await
        };
        match gone.await {
            Ok(gone) => {
                let gone: HashSet<i32> = gone.into_iter().collect();
                let twice: Vec<i32> = gone.intersection(&suspects).copied().collect();
                relay.lost(&twice);
                suspects = gone;
            }
            Err(error) => debug!(%error, "the nodes of open calls were not looked at"),
        }
    }
}
