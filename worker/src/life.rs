//! One life of a worker: from entering its node to leaving it.

use std::{sync::Arc, time::Duration};

use skein_fetch::Allow;
use skein_sql::{Connector, Settings, duties::Kind, nodes, sweep};
use skein_wire::limit;
use tokio::{
    sync::{Notify, watch},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    Ages, Result, duty, ear, heart,
    share::Seats,
    start,
    tally::Tally,
    telling::{self, Queue, Telling},
    watch as watcher,
    watches::Fetching,
};

/// How long tasks may take to hand over; a statement is over in 10 s, most in milliseconds.
const HAND_OVER_MAX: Duration = Duration::from_secs(5);
/// Between attempts to reach a database that is away.
const RETRY: Duration = Duration::from_secs(1);

/// What a worker is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database.
    pub connector: Connector,
    /// A name for where it runs.
    pub region: String,
    /// How often it beats and looks.
    pub timing: Timing,
    /// How old what it puts away has to be.
    pub ages: Ages,
    /// How it looks at what URL watches name.
    pub watches: Fetching,
}

impl Options {
    /// A worker with the deployment's timing and ages, that looks at what is public and can open no
    /// headers.
    pub fn new(connector: Connector, region: String) -> Self {
        let watches = Fetching::new(Allow::nothing(), None);
        Self { connector, region, timing: Timing::default(), ages: Ages::default(), watches }
    }
}

/// How often a worker beats and looks. Tests have shorter ones.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between two beats.
    pub beat: Duration,
    /// A node whose beat stood still this long is dead.
    pub still_max: Duration,
    /// Reads of the beats count while they succeed at least this often.
    pub read_max: Duration,
    /// Between two looks at the nodes: how soon a worker that joins or goes is noticed.
    pub look: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            beat: limit::BEAT_INTERVAL,
            still_max: limit::BEAT_STILL_MAX,
            read_max: limit::BEAT_READ_MAX,
            look: Duration::from_secs(2),
        }
    }
}

/// What the tasks of one life share.
#[derive(Debug)]
pub struct Life {
    /// This node.
    pub node: i32,
    /// Connections in its name.
    pub connector: Connector,
    /// See [`Options`].
    pub timing: Timing,
    /// See [`Options`].
    pub ages: Ages,
    /// See [`Options`].
    pub watches: Fetching,
    /// Who shares the duties, as the watch last saw it.
    pub seats: watch::Sender<Seats>,
    /// The watch is to look now.
    pub look: Notify,
    /// The end of this life.
    pub stop: CancellationToken,
    /// Where duties say what they stored.
    pub telling: Telling,
    wakes: [Notify; Kind::ALL.len()],
    tallies: [Tally; Kind::ALL.len()],
}

impl Life {
    /// What wakes a kind of duty. A wake-up that nobody waits for is kept.
    pub fn wake(&self, kind: Kind) -> &Notify {
        &self.wakes[index(kind)]
    }

    /// What was done of a kind since the last report.
    pub fn tally(&self, kind: Kind) -> &Tally {
        &self.tallies[index(kind)]
    }

    /// Something changed that nobody can name: everybody is to look.
    pub fn wake_all(&self) {
        self.look.notify_one();
        self.wakes.iter().for_each(Notify::notify_one);
    }
}

fn index(kind: Kind) -> usize {
    Kind::ALL.iter().position(|k| *k == kind).expect("every kind is in the list of all")
}

/// Runs a worker until `stop`. One that is declared dead starts again as a new node; a database
/// that is away is waited for.
///
/// # Errors
/// When the worker cannot do its work with these settings or this database.
pub async fn run(options: &Options, stop: &CancellationToken) -> Result<()> {
    loop {
        match live(options, stop).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_fenced() => {
                warn!("this worker was declared dead and starts again as a new node");
            }
            Err(error) if error.is_connection() => {
                let error = error.chain();
                warn!(error, "the database cannot be reached: {error}");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = sleep(RETRY) => (),
            () = stop.cancelled() => return Ok(()),
        }
    }
}

async fn live(options: &Options, stop: &CancellationToken) -> Result<()> {
    let (life, queue) = tokio::select! {
        entered = enter(options, stop) => entered?,
        () = stop.cancelled() => return Ok(()),
    };
    let life = Arc::new(life);
    let node = life.node;
    info!(node, "worker {node} is up");
    let mut tasks = JoinSet::new();
    tasks.spawn(heart::run(Arc::clone(&life)));
    tasks.spawn(ear::run(Arc::clone(&life)));
    tasks.spawn(watcher::run(Arc::clone(&life)));
    tasks.spawn(telling::run(Arc::clone(&life), queue));
    for kind in Kind::ALL {
        tasks.spawn(duty::run(Arc::clone(&life), kind));
    }
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = tasks.join_next() => outcome(ended),
    };
    life.stop.cancel();
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(HAND_OVER_MAX, all).await.is_err() {
        warn!(node, "the duties were not handed over in time and are dropped");
    }
    tasks.shutdown().await;
    ended?;
    leave(&options.connector, &life).await
}

async fn enter(options: &Options, stop: &CancellationToken) -> Result<(Life, Queue)> {
    start::check(&options.connector).await?;
    let db = options.connector.connect(Settings::Ordinary).await?;
    let node = nodes::create(&db, "worker", &options.region, None).await?;
    let (telling, queue) = telling::new();
    let life = Life {
        node,
        connector: options.connector.of_node(node),
        timing: options.timing,
        ages: options.ages,
        watches: options.watches.clone(),
        seats: watch::Sender::new(Seats::default()),
        look: Notify::new(),
        stop: stop.child_token(),
        telling,
        wakes: std::array::from_fn(|_| Notify::new()),
        tallies: std::array::from_fn(|_| Tally::default()),
    };
    Ok((life, queue))
}

/// The locks are gone by now; the others are told, so that they take the buckets at once.
async fn leave(connector: &Connector, life: &Life) -> Result<()> {
    // Not in the node's name: whoever fences the node may end such a connection at any moment.
    let db = connector.connect(Settings::Ordinary).await?;
    nodes::retire(&db, life.node).await?;
    let mut others: Vec<i32> = life.seats.borrow().0.iter().flat_map(|s| s.1.clone()).collect();
    others.sort_unstable();
    others.dedup();
    sweep::tell(&db, &others).await?;
    let node = life.node;
    info!(node, "worker {node} has handed over and left");
    Ok(())
}

fn outcome(ended: Result<Result<()>, JoinError>) -> Result<()> {
    match ended {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => unreachable!("no task is cancelled before the life ends"),
        },
    }
}
