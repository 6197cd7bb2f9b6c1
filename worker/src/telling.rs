//! Telling: says after the commit where messages are that a duty stored. See delivery.md 4.
//!
//! The teller has a connection of its own, whose commits do not wait for the disk, and resolves
//! afresh where recipients are. It names its own node as the writer and counts for each destination,
//! so that a node notices what it was not told. Duties do not wait for it: what finds no room in its
//! queue, or could not be told, is found by the nodes' looks within two seconds.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use skein_sql::{
    GenericClient, Settings,
    clock::{self, Head},
    nodes,
    note::{self, Logged, Rows, Told},
    tell::{self, Committed},
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use crate::{Error, Result, life::Life};

/// Things to tell that may wait; the next is left to the looks.
const QUEUE_MAX: usize = 256;
/// Between attempts to get a connection.
const RETRY: Duration = Duration::from_millis(250);
/// For a connection to come up and register.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Something to tell.
#[derive(Debug)]
enum Said {
    /// Messages that were committed together.
    Messages(Vec<Committed>),
    /// A frame for the sessions of a member of a mesh.
    Word { mesh: i64, member: i64, frame: String },
    /// How far clocks have come.
    Ticks(Vec<Head>),
}

/// Where duties say what they stored. Clones say it to the same teller.
#[derive(Debug, Clone)]
pub struct Telling {
    queue: mpsc::Sender<Said>,
}

/// What is said, to be told by [`run`].
#[derive(Debug)]
pub struct Queue(mpsc::Receiver<Said>);

/// A telling, and what its teller reads.
pub fn new() -> (Telling, Queue) {
    let (queue, said) = mpsc::channel(QUEUE_MAX);
    (Telling { queue }, Queue(said))
}

impl Telling {
    /// Tells of messages that are committed, in the order of their numbers.
    pub fn messages(&self, committed: Vec<Committed>) {
        if !committed.is_empty() {
            self.say(Said::Messages(committed));
        }
    }

    /// Sends a frame to the sessions of a member of this mesh. It may be lost.
    pub fn word(&self, mesh: i64, member: i64, frame: String) {
        self.say(Said::Word { mesh, member, frame });
    }

    /// Tells the nodes that have sessions of their meshes how far clocks have come. A hint too.
    pub fn ticks(&self, heads: Vec<Head>) {
        if !heads.is_empty() {
            self.say(Said::Ticks(heads));
        }
    }

    fn say(&self, said: Said) {
        match self.queue.try_send(said) {
            Ok(()) => (),
            Err(TrySendError::Full(_)) => debug!("telling is behind; looks find what is left out"),
            // The life is over, and another node's telling takes its place.
            Err(TrySendError::Closed(_)) => (),
        }
    }
}

/// Tells what is said until the life ends.
///
/// # Errors
/// When the node was declared dead, and nothing else.
pub async fn run(life: Arc<Life>, mut queue: Queue) -> Result<()> {
    let mut counters = Counters::default();
    let telling = async {
        loop {
            match on_one_connection(&life, &mut queue, &mut counters).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_fenced() => return Err(error),
                Err(error) => {
                    let error = error.chain();
                    warn!(error, "telling failed: {error}");
                    sleep(RETRY).await;
                }
            }
        }
    };
    tokio::select! {
        ended = telling => ended,
        () = life.stop.cancelled() => Ok(()),
    }
}

/// The last numbers that were used.
#[derive(Debug, Default)]
struct Counters {
    /// For each destination. One that was used for nothing is a gap, and the node looks.
    rows: HashMap<i32, u64>,
    /// For the relays of all of them.
    words: u64,
}

async fn on_one_connection(life: &Life, queue: &mut Queue, counters: &mut Counters) -> Result<()> {
    let connect = life.connector.connect_cached(Settings::Relaxed);
    let db = timeout(CONNECT_MAX, connect).await.map_err(|_| Error::Late)??;
    while let Some(said) = queue.0.recv().await {
        match said {
            Said::Messages(committed) => messages(&db, life.node, &committed, counters).await?,
            Said::Word { mesh, member, frame } => {
                counters.words += 1;
                let word = note::to_member(life.node, counters.words, mesh, member, &frame);
                word_to(&db, mesh, word).await?;
            }
            Said::Ticks(heads) => clock::announce(&db, &heads).await?,
        }
    }
    Ok(())
}

/// Sends a note, if there is one, to the nodes that have sessions of a mesh.
async fn word_to(db: &impl GenericClient, mesh: i64, note: Option<String>) -> Result<()> {
    let Some(note) = note else { return Ok(()) };
    let nodes = tell::log_nodes(db, &[mesh]).await?;
    let notes: Vec<(String, String)> =
        nodes.iter().map(|(_, node)| (nodes::channel(*node), note.clone())).collect();
    if !notes.is_empty() {
        tell::notify(db, &notes).await?;
    }
    Ok(())
}

/// Tells each node once. Bodies are left out, as of what is fresh: nodes read pages and the log, so
/// whatever order these come in, nothing is pushed out of order.
async fn messages(
    db: &impl GenericClient,
    writer: i32,
    committed: &[Committed],
    counters: &mut Counters,
) -> Result<()> {
    let mut rows: HashMap<i32, (Vec<Told>, Vec<Logged>)> = HashMap::new();
    let direct: Vec<(i64, i64, Option<i32>)> = committed
        .iter()
        .filter_map(|one| one.recipient.map(|(to, node)| (one.seq, to, Some(node))))
        .collect();
    for (seq, located) in tell::resolve(db, &direct).await? {
        let told = Told { s: seq, r: located.recipient, o: located.session, b: None };
        rows.entry(located.node).or_default().0.push(told);
    }
    let multicasts: Vec<&Committed> =
        committed.iter().filter(|one| one.recipient.is_none()).collect();
    let meshes: HashSet<i64> = multicasts.iter().map(|one| one.mesh).collect();
    if !meshes.is_empty() {
        let meshes: Vec<i64> = meshes.into_iter().collect();
        for (mesh, node) in tell::log_nodes(db, &meshes).await? {
            let heard = multicasts.iter().filter(|one| one.mesh == mesh);
            rows.entry(node).or_default().1.extend(heard.map(|one| logged(one)));
        }
    }
    let notes: Vec<(String, String)> = rows
        .into_iter()
        .map(|(node, (d, l))| {
            let c = counters.rows.entry(node).or_default();
            // Counted before it is sent: a number that was lost on the way is not used again.
            *c += 1;
            (nodes::channel(node), Rows { w: writer, c: *c, d, l, cut: false }.payload())
        })
        .collect();
    if !notes.is_empty() {
        tell::notify(db, &notes).await?;
    }
    Ok(())
}

fn logged(one: &Committed) -> Logged {
    Logged { s: one.seq, m: one.mesh, a: one.sender, t: one.target.clone(), x: one.xid, b: None }
}
