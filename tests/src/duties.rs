//! One run of duties under fire: schedules and simulation clocks of several meshes, while the
//! workers that serve them are killed, cut off or stopped every two seconds. Edges are left alone.
//!
//! A run is void unless due work was often enough taken over from a worker that could not do it any
//! more. That count looks at the tables; the verdict reads only what peers heard.

mod entries;
mod faults;
mod verdict;

use std::{
    fmt,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use skein_wire::{clock, limit};
use tokio::time::{sleep, timeout};

pub use self::verdict::{Counts, Lateness};
use self::{
    entries::{Entry, When},
    faults::Faults,
    verdict::Expected,
};
use crate::{
    peer::{Caps, Listener, Log},
    place::{Place, Setup},
};

/// Workers of a run.
const WORKERS: usize = 3;
/// Peers of each mesh, each on an edge of its own.
const PEERS: usize = 2;
/// How fast the clocks go.
const SPEED: u32 = limit::CLOCK_SPEED_MAX;
/// Of sixty seconds: how often due work has to be taken over.
const TAKEOVERS_PER_MINUTE: u64 = 10;
/// One-shots are due from this to the end of the faults, in milliseconds after they are made.
const ONCE_FIRST_MS: i64 = 500;
/// Clocks go on for so long after the last fault.
const CALM: Duration = Duration::from_millis(1500);
/// How long everything may take to arrive once the faults are over.
const SETTLE_PATIENCE: Duration = Duration::from_secs(40);
/// How long a repeat that should not come is waited for.
const QUIET: Duration = Duration::from_millis(1500);

/// What is different about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Variant {
    /// Workers are killed or cut off.
    #[serde(rename = "duties")]
    Struck,
    /// The same, and one is stopped for 40 s and goes on.
    #[serde(rename = "duties-paused")]
    Paused,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Struck, Self::Paused];

    /// The variant of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.to_string() == name)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Struck => "duties",
            Self::Paused => "duties-paused",
        })
    }
}

/// A run to be made.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// See [`Variant`].
    pub variant: Variant,
    /// For how long there are faults, in seconds.
    pub seconds: u64,
    /// Schedules by simulated time.
    pub crons: usize,
    /// Schedules that are due once, in real time.
    pub onces: usize,
    /// Meshes, with a clock each.
    pub clocks: usize,
    /// Where every choice comes from.
    pub seed: u64,
}

impl Plan {
    /// The size that is promised: a minute, 500 cron entries, 200 one-shots, 20 clocks.
    pub fn full(variant: Variant, seed: u64) -> Self {
        Self { variant, seconds: 60, crons: 500, onces: 200, clocks: 20, seed }
    }

    /// The size of a test.
    pub fn small(seed: u64) -> Self {
        let variant = Variant::Struck;
        Self { variant, seconds: 14, crons: 60, onces: 30, clocks: 4, seed }
    }

    fn takeovers_min(&self) -> usize {
        usize::try_from(self.seconds * TAKEOVERS_PER_MINUTE / 60).unwrap_or(usize::MAX)
    }
}

/// What a run came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// See [`Variant`].
    pub variant: Variant,
    /// The plan's seed.
    pub seed: u64,
    /// Workers killed.
    pub kills: usize,
    /// Workers whose connections were cut.
    pub cuts: usize,
    /// Workers that were stopped, lost due work to another, and went on.
    pub pauses: usize,
    /// Faults whose worker left due work that another took over and did.
    pub takeovers: usize,
    /// Seconds it took.
    pub seconds: u64,
    /// What the peers heard.
    pub counts: Counts,
    /// How late one-shots came.
    pub once_late_ms: Lateness,
    /// How late ticks came.
    pub tick_late_ms: Lateness,
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
        let Report { kills, cuts, pauses, takeovers, counts: c, .. } = self;
        write!(
            f,
            "{} seed {}: {} s, {kills} kills, {cuts} cuts, {pauses} pauses, {takeovers} takeovers \
             with due work; ticks {}, gaps {}, repeats {}; slots {}, heard {}, lost {}, doubled {}, \
             wrong {}; late: one-shots {}, ticks {}",
            self.variant,
            self.seed,
            self.seconds,
            c.ticks,
            c.gaps,
            c.repeats,
            c.slots,
            c.heard,
            c.lost,
            c.doubled,
            c.wrong,
            self.once_late_ms,
            self.tick_late_ms,
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
    let setup = Setup { edges: PEERS, workers: WORKERS, doors: true, ..Setup::default() };
    let mut place = Place::start(setup).await;
    let log = Log::default();
    let meshes = attach(&place, &plan, &log).await;
    let mut expected = schedule(&plan, &meshes, &mut rng).await;

    let time = Duration::from_secs(plan.seconds);
    let faults = faults::make(&mut place, plan.variant, time, &mut rng).await;
    sleep(CALM).await;
    settle(&mut expected, &meshes, &log).await;
    sleep(QUIET).await;

    let verdict = verdict::judge(&expected, &log.heard());
    drop(meshes);
    let report = report(&plan, &faults, verdict, since);
    if report.is_good() {
        println!("{report}");
        place.stop().await;
    } else {
        println!("{report}\nlogs are kept in {}", place.keep().display());
    }
    report
}

fn report(plan: &Plan, faults: &Faults, verdict: verdict::Verdict, since: Instant) -> Report {
    Report {
        variant: plan.variant,
        seed: plan.seed,
        kills: faults.kills,
        cuts: faults.cuts,
        pauses: faults.pauses,
        takeovers: faults.takeovers,
        seconds: since.elapsed().as_secs(),
        counts: verdict.counts,
        once_late_ms: verdict.once_late,
        tick_late_ms: verdict.tick_late,
        findings: verdict.findings,
        void: faults.void(plan.variant, plan.takeovers_min()),
    }
}

/// The peers of every mesh, with caps and without in turn. The meshes are spread over the buckets.
async fn attach(place: &Place, plan: &Plan, log: &Log) -> Vec<Vec<Listener>> {
    let n_buckets = usize::try_from(skein_sql::duties::BUCKETS).expect("a small constant");
    let mut meshes = Vec::new();
    for index in 0..plan.clocks {
        let no = i64::try_from(n_buckets + index * n_buckets / plan.clocks).expect("it is small");
        let mesh = place.mesh(&format!("mesh-{index}"), no).await;
        let mut peers = Vec::new();
        for n in 0..PEERS {
            let who = place.enrol_in(&mesh, index * PEERS + n, n).await;
            let caps = if (index + n) % 2 == 0 { Caps::Ours } else { Caps::Old };
            peers.push(Listener::attach(who, caps, log.clone()).await);
        }
        meshes.push(peers);
    }
    meshes
}

/// Starts the clocks, and makes the schedules of all meshes at once.
async fn schedule(plan: &Plan, meshes: &[Vec<Listener>], rng: &mut StdRng) -> Expected {
    for peers in meshes {
        let set = json!({"type": "set_clock", "speed": SPEED});
        answered(&peers[0].ask(set).await, "clock_status");
    }
    let mut entries = Vec::new();
    for number in 0..plan.crons + plan.onces {
        let mesh = number % meshes.len();
        let last_ms = i64::try_from(plan.seconds * 1000).unwrap_or(i64::MAX);
        let when = match number < plan.crons {
            true => When::cron(rng),
            false => When::Once(rng.random_range(ONCE_FIRST_MS..last_ms)),
        };
        entries.push(make(number, mesh, &meshes[mesh], when, rng).await);
    }
    let n_peers = meshes.iter().map(Vec::len);
    Expected {
        entries,
        meshes: n_peers.enumerate().flat_map(|(mesh, n)| vec![mesh; n]).collect(),
        ends: vec![None; meshes.len()],
        interval: clock::interval(SPEED.into()),
    }
}

/// Makes one schedule, from one peer of a mesh to the other, to itself, or to everybody.
async fn make(
    number: usize,
    mesh: usize,
    peers: &[Listener],
    when: When,
    rng: &mut StdRng,
) -> Entry {
    let (by, other) = if rng.random() { (0, 1) } else { (1, 0) };
    let key = |peer: usize| peers[peer].identity.session.public.hex();
    let (target, to, whom) = match rng.random_range(0..5) {
        0 => (key(by), by, "itself"),
        1 if peers[other].caps == Caps::Ours => {
            (peers[other].identity.member.public.hex(), other, "a member")
        }
        2 => ("*".to_owned(), other, "everybody"),
        _ => (key(other), other, "a session"),
    };
    let now_ms = Timestamp::now().as_millisecond();
    let ack = peers[by].ask(entries::request(number, &when, &target, now_ms)).await;
    answered(&ack, "scheduled_ack");
    let first_ms = ack["deliverAt"].as_i64().expect("an answer says when");
    let is_right = match when {
        When::Once(later_ms) => first_ms == now_ms + later_ms,
        When::Cron { .. } => when.is_slot(first_ms),
    };
    assert!(is_right, "{when:?} begins at {first_ms}");
    let id = ack["scheduledId"].as_str().unwrap_or_default();
    let to = vec![peers[to].identity.index];
    let words = format!("{when} from peer {by} of mesh {mesh} to {whom}, from {first_ms} on");
    Entry { number, id: bytes(id), when, first_ms, words, to, mesh }
}

/// Stops the clocks, and waits until everything has arrived that must. Judged as it is when that
/// takes too long: what is missing then is lost.
async fn settle(expected: &mut Expected, meshes: &[Vec<Listener>], log: &Log) {
    let last_ms = expected.entries.iter().filter(|entry| matches!(entry.when, When::Once(_)));
    let last_ms = last_ms.map(|entry| entry.first_ms).max().unwrap_or_default();
    let rest_ms = last_ms - Timestamp::now().as_millisecond();
    sleep(Duration::from_millis(u64::try_from(rest_ms).unwrap_or_default())).await;
    for (mesh, peers) in meshes.iter().enumerate() {
        let status = peers[0].ask(json!({"type": "pause_clock"})).await;
        answered(&status, "clock_status");
        let shown: Timestamp =
            status["simTime"].as_str().unwrap_or_default().parse().unwrap_or_default();
        let tick = status["tick"].as_i64().expect("an answer says the tick");
        expected.ends[mesh] = Some((tick, shown.as_millisecond()));
    }
    let settled = async {
        while !verdict::is_complete(expected, &log.heard()) {
            sleep(Duration::from_millis(200)).await;
        }
    };
    let _ = timeout(SETTLE_PATIENCE, settled).await;
}

fn answered(answer: &Value, kind: &str) {
    assert_eq!(answer["type"], kind, "{answer}");
}

/// The bytes of an id as it is written.
fn bytes(id: &str) -> [u8; 16] {
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).expect("an id has 32 hexadecimal digits");
    number.to_be_bytes()
}
