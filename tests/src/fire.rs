//! One run under fire: peers that talk all the time, while edges are killed, the database loses its
//! power in the middle of a commit, and a listener is cut.
//!
//! A run is void unless it had what it is about: ten edges killed with unsettled rows at that
//! moment, one immediate restart of the database with a commit in flight, one cut listener. That
//! check looks at the tables; the [`verdict`] does not.

mod faults;
mod traffic;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use skein_wire::limit;
use tokio::time::{sleep, timeout};

use self::traffic::Budget;
use crate::{
    peer::{Kind, Peer},
    place::{Place, Setup},
    record::Record,
    verdict::{self, Counts},
};

/// Edges of a run.
const EDGES: usize = 3;
/// Peers of a run.
const PEERS: usize = 8;
/// Edges that have to be killed while something is unsettled.
const KILLS: usize = 10;
/// How long everything may take to arrive once the faults are over.
const SETTLE_PATIENCE: Duration = Duration::from_secs(75);
/// How long a repeat that should not come is waited for.
const QUIET: Duration = Duration::from_secs(3);

/// What is different about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// Peers of our client.
    Ours,
    /// Peers like the old client.
    Old,
    /// Both.
    Mixed,
    /// Both, and every notification is swallowed.
    Deaf,
    /// Both, and an edge is paused for 40 s and goes on.
    Paused,
    /// Both, and everybody moves from edge to edge all the time.
    Moving,
    /// Both, and everybody was attached for so long that messages are pushed as they are announced.
    Aged,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ours, Self::Old, Self::Mixed, Self::Deaf, Self::Paused, Self::Moving, Self::Aged];

    /// The variant of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.to_string() == name)
    }

    fn kinds(self) -> Vec<Kind> {
        let of = |index: usize| match self {
            Self::Ours => Kind::Ours,
            Self::Old => Kind::Old,
            _ if index.is_multiple_of(2) => Kind::Ours,
            _ => Kind::Old,
        };
        (0..PEERS).map(of).collect()
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Old => "old",
            Self::Mixed => "mixed",
            Self::Deaf => "deaf",
            Self::Paused => "paused",
            Self::Moving => "moving",
            Self::Aged => "aged",
        })
    }
}

/// A run to be made.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// See [`Variant`].
    pub variant: Variant,
    /// Messages in all.
    pub messages: u64,
    /// Where every choice comes from.
    pub seed: u64,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// See [`Variant`].
    pub variant: Variant,
    /// The plan's seed.
    pub seed: u64,
    /// Edges killed with unsettled rows at that moment.
    pub kills: usize,
    /// Immediate restarts of the database with a commit in flight.
    pub restarts: usize,
    /// Listeners cut.
    pub cuts: usize,
    /// Notifications swallowed.
    pub swallowed: u64,
    /// Seconds it took.
    pub seconds: u64,
    /// What the clients saw.
    pub counts: Counts,
    /// What is wrong, the first of it.
    pub findings: Vec<String>,
    /// Why the run proves nothing; empty when it does.
    pub void: Vec<String>,
}

impl Report {
    /// Whether the run had its faults and everything that is promised was kept.
    pub fn is_good(&self) -> bool {
        self.void.is_empty() && self.findings.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seed {}: {} s, {} kills, {} restarts, {} cuts, {} swallowed; {}",
            self.variant,
            self.seed,
            self.seconds,
            self.kills,
            self.restarts,
            self.cuts,
            self.swallowed,
            self.counts
        )?;
        for line in self.void.iter().map(|why| format!("void: {why}")).chain(self.findings.clone())
        {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// Makes a run.
///
/// # Panics
/// When the place cannot be brought up.
pub async fn run(plan: Plan) -> Report {
    let since = Instant::now();
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let mut place = Place::start(Setup { edges: EDGES, workers: 2, ..Setup::default() }).await;
    if plan.variant == Variant::Deaf {
        place.proxy.deafen();
    }
    let kinds = plan.variant.kinds();
    let record = Arc::new(Record::default());
    let peers = start_peers(&place, &kinds, &record).await;
    if plan.variant == Variant::Aged {
        sleep(limit::FRESH + Duration::from_secs(1)).await;
    }

    let budget = Arc::new(Budget::new(plan.messages));
    let talking = traffic::start(&peers, &budget, &mut rng);
    let moving =
        (plan.variant == Variant::Moving).then(|| traffic::start_moving(&peers, &place, &mut rng));
    let faults = faults::make(&mut place, &peers, &record, plan.variant, &budget, &mut rng).await;
    budget.release(1.0);
    for task in talking {
        task.await.expect("traffic does not panic");
    }
    if let Some(moving) = moving {
        moving.abort();
    }

    let settled = async {
        while !verdict::is_complete(&record, &kinds) {
            sleep(Duration::from_millis(200)).await;
        }
    };
    // Judged as it is when it takes longer: what is missing then is lost.
    let _ = timeout(SETTLE_PATIENCE, settled).await;
    sleep(QUIET).await;
    let verdict = verdict::judge(&record, &kinds);
    drop(peers);
    let report = Report {
        variant: plan.variant,
        seed: plan.seed,
        kills: faults.kills,
        restarts: faults.restarts,
        cuts: faults.cuts,
        swallowed: place.proxy.swallowed(),
        seconds: since.elapsed().as_secs(),
        void: faults.void(plan.variant, place.proxy.swallowed()),
        counts: verdict.counts,
        findings: verdict.findings,
    };
    if report.is_good() {
        println!("{report}");
        place.stop().await;
    } else {
        println!("{report}\nlogs are kept in {}", place.keep().display());
    }
    report
}

async fn start_peers(place: &Place, kinds: &[Kind], record: &Arc<Record>) -> Arc<Vec<Peer>> {
    let mut identities = Vec::new();
    for index in 0..kinds.len() {
        identities.push(place.enrol(index, index).await);
    }
    let keys = Arc::new(identities.iter().map(|who| who.session.public).collect::<Vec<_>>());
    let folder = place.folder.path();
    let started = identities
        .into_iter()
        .zip(kinds)
        .map(|(who, kind)| Peer::start(*kind, who, keys.clone(), record.clone(), folder));
    let peers = Arc::new(started.collect::<Vec<_>>());
    let all_attached = async {
        while record.attachments().len() < kinds.len() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), all_attached).await.expect("every peer attaches");
    peers
}

/// A seed from `SKEIN_SEED`, or a new one.
///
/// # Panics
/// When the variable is no number.
pub fn seed() -> u64 {
    match std::env::var("SKEIN_SEED") {
        Ok(text) => text.parse().expect("SKEIN_SEED is a number"),
        Err(_) => rand::rng().random(),
    }
}
