//! The faults of a run of duties: workers are killed, cut off or stopped where they are, and started,
//! let in or let go on again; and what became of the work that they left.
//!
//! A **takeover with due work** is counted from the tables alone. Before a fault the buckets of the
//! worker are read from the locks. After it, work that is due in one of these buckets while nobody
//! has its lock (or while the worker that has it stands still) has no one to do it. When later that
//! bucket is another worker's, and the same clock has gone on or the same schedule has been served,
//! the other has taken it over and done it. A fault counts once at most; a worker that comes back
//! and takes its own buckets again counts for nothing.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use rand::{Rng, rngs::StdRng};
use rustix::process::Signal;
use skein_sql::duties::Kind;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::Variant;
use crate::place::Place;

/// From one fault to the next.
pub const EVERY: Duration = Duration::from_secs(2);
/// How long a killed worker stays away, in milliseconds.
const AWAY_MS: std::ops::Range<u64> = 300..1000;
/// From the moment that something is due to the fault, in microseconds: about as long as a worker
/// needs to do it.
const PHASE_US: std::ops::Range<u64> = 0..12_000;
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(15);
/// A stopped worker is declared dead after 15 s and has lost everything by now.
const WORKER_PAUSE: Duration = Duration::from_secs(40);

/// Every lock of a bucket of schedules or clocks, with the worker that has it.
const HELD: &str = "
    select b.classid::bigint::integer as class, b.objid::integer as bucket, n.region
      from pg_locks b
      join pg_locks s on s.pid = b.pid and s.classid = b.classid and s.locktype = 'advisory'
                     and s.objsubid = 2 and s.objid >= 64 and s.granted
      join node n on n.id = s.objid::bigint - 64
     where b.locktype = 'advisory' and b.objsubid = 2 and b.objid < 64 and b.granted
       and b.classid::bigint = any($1)
       and b.database = (select oid from pg_database where datname = current_database())";

/// What is due, and how far it is.
const DUE: &str = "
    select $1::bigint::integer as class, bucket, mesh::text as id, tick as n
      from clock
     where not paused and due_at <= now()
    union all
    select $2::bigint::integer, bucket, id::text, n_logged
      from schedule
     where due_at <= now()";

/// How far everything is.
const DONE: &str = "
    select mesh::text as id, tick as n from clock
    union all
    select id::text, n_logged from schedule where n_logged > 0 and clock = 'real'";

/// When the next tick is due.
const NEXT: &str = "
    select extract(epoch from min(due_at) - clock_timestamp())::float8
      from clock
     where not paused and bucket = any($1)";

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// See [`Report`](super::Report).
    pub kills: usize,
    /// See [`Report`](super::Report).
    pub cuts: usize,
    /// See [`Report`](super::Report).
    pub pauses: usize,
    /// See [`Report`](super::Report).
    pub takeovers: usize,
}

impl Faults {
    /// Why a run proves nothing.
    pub fn void(&self, variant: Variant, takeovers_min: usize) -> Vec<String> {
        let mut void = Vec::new();
        if self.takeovers < takeovers_min {
            void.push(format!("{} takeovers with due work, of {takeovers_min}", self.takeovers));
        }
        if self.kills == 0 || self.cuts == 0 {
            void.push(format!("{} kills and {} cuts", self.kills, self.cuts));
        }
        if variant == Variant::Paused && self.pauses == 0 {
            void.push("no stopped worker lost due work to another, and went on".into());
        }
        void
    }
}

/// A bucket of a kind, by the first number of its lock.
type Bucket = (i32, i32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Its process is killed, and started again.
    Kill,
    /// Its connections are cut, and it gets no new ones for a while.
    Cut,
    /// Its connections are cut, and that is all.
    Blip,
}

/// Makes faults for so long. Every worker works when this returns.
pub async fn make(place: &mut Place, variant: Variant, time: Duration, rng: &mut StdRng) -> Faults {
    let (since, mut faults) = (Instant::now(), Faults::default());
    let db = place.db().await;
    if variant == Variant::Paused {
        pause(place, &db, &mut faults, rng).await;
    }
    while since.elapsed() < time {
        let victim = rng.random_range(0..place.workers.len());
        strike(place, &db, victim, &mut faults, rng).await;
    }
    faults
}

/// One fault, and what becomes of what it left until the next one.
async fn strike(
    place: &mut Place,
    db: &Client,
    victim: usize,
    faults: &mut Faults,
    rng: &mut StdRng,
) {
    let fault = match rng.random_range(0..10) {
        0..5 => Fault::Kill,
        5..9 => Fault::Cut,
        _ => Fault::Blip,
    };
    let region = region(victim);
    let had: HashSet<Bucket> = buckets_of(&held(db).await, &region);
    await_due(db, &had, rng).await;
    let since = Instant::now();
    match fault {
        Fault::Kill => {
            let worker = place.workers[victim].take().expect("it was started again");
            worker.kill().await;
            faults.kills += 1;
        }
        Fault::Cut => {
            place.doors[victim].shut();
            place.doors[victim].cut_all();
            faults.cuts += 1;
        }
        Fault::Blip => {
            place.doors[victim].cut_all();
            faults.cuts += 1;
        }
    }
    let back_at = match fault {
        Fault::Kill => Duration::from_millis(rng.random_range(AWAY_MS)),
        Fault::Cut => EVERY - LOOK,
        Fault::Blip => Duration::MAX,
    };
    let mut left = Left { had, region, orphans: HashMap::new(), is_taken: false };
    let mut is_back = false;
    while since.elapsed() < EVERY {
        if !is_back && since.elapsed() >= back_at {
            is_back = true;
            match fault {
                Fault::Kill => place.start_worker(victim, None),
                Fault::Cut | Fault::Blip => place.doors[victim].open(),
            }
        }
        left.look(db, false).await;
        sleep(LOOK).await;
    }
    if fault == Fault::Cut {
        place.doors[victim].open();
    }
    faults.takeovers += usize::from(left.is_taken);
}

/// Stops the first worker where it is for a while; the last one is struck meanwhile, the others are
/// left alone: they have to see its beat stand still.
async fn pause(place: &mut Place, db: &Client, faults: &mut Faults, rng: &mut StdRng) {
    let (victim, other) = (0, place.workers.len() - 1);
    let region = region(victim);
    let had: HashSet<Bucket> = buckets_of(&held(db).await, &region);
    await_due(db, &had, rng).await;
    let worker = place.workers[victim].as_ref().expect("it was not killed yet");
    worker.signal(Signal::STOP);
    let since = Instant::now();
    let mut left = Left { had, region, orphans: HashMap::new(), is_taken: false };
    while since.elapsed() < WORKER_PAUSE {
        left.look(db, true).await;
        strike(place, db, other, faults, rng).await;
    }
    left.look(db, true).await;
    let worker = place.workers[victim].as_ref().expect("it was stopped, not killed");
    worker.signal(Signal::CONT);
    faults.takeovers += usize::from(left.is_taken);
    faults.pauses += usize::from(left.is_taken);
}

/// What a worker left.
struct Left {
    /// Its buckets, before.
    had: HashSet<Bucket>,
    /// Which worker it is.
    region: String,
    /// What was due in them with nobody to do it, and how far it was when that was last seen.
    orphans: HashMap<String, (Bucket, i64)>,
    /// Some of it was done by another.
    is_taken: bool,
}

impl Left {
    /// One look; where the worker stands still, what is due in its buckets has nobody either.
    async fn look(&mut self, db: &Client, stands_still: bool) {
        if self.is_taken {
            return;
        }
        let due = due(db).await;
        let held = held(db).await;
        for (id, (bucket, n)) in due {
            let is_left = match held.get(&bucket) {
                None => true,
                Some(holder) => stands_still && *holder == self.region,
            };
            if is_left && self.had.contains(&bucket) {
                self.orphans.insert(id, (bucket, n));
            }
        }
        if self.orphans.is_empty() {
            return;
        }
        let by_another = |bucket| held.get(bucket).is_some_and(|holder| *holder != self.region);
        let rows = db.query(DONE, &[]).await.expect("the database serves");
        self.is_taken = rows.iter().any(|row| {
            let n: i64 = row.get("n");
            let orphan = self.orphans.get(row.get::<_, &str>("id"));
            orphan.is_some_and(|(bucket, was)| n > *was && by_another(bucket))
        });
    }
}

/// Waits for the moment that something of these buckets is due, and a little longer.
async fn await_due(db: &Client, buckets: &HashSet<Bucket>, rng: &mut StdRng) {
    let clocks = buckets.iter().filter(|bucket| bucket.0 == Kind::Clock.class());
    let clocks: Vec<i32> = clocks.map(|bucket| bucket.1).collect();
    let row = db.query_one(NEXT, &[&clocks]).await.expect("the database serves");
    let in_s = row.get::<_, Option<f64>>(0).unwrap_or_default().clamp(0.0, 1.0);
    let phase = Duration::from_micros(rng.random_range(PHASE_US));
    sleep(Duration::from_secs_f64(in_s) + phase).await;
}

/// Who has which bucket.
async fn held(db: &Client) -> HashMap<Bucket, String> {
    let classes = [Kind::Schedule, Kind::Clock].map(|kind| i64::from(kind.class()));
    let rows = db.query(HELD, &[&classes.as_slice()]).await.expect("the database serves");
    rows.iter().map(|row| ((row.get("class"), row.get("bucket")), row.get("region"))).collect()
}

async fn due(db: &Client) -> Vec<(String, (Bucket, i64))> {
    let [clock, schedule] = [Kind::Clock, Kind::Schedule].map(|kind| i64::from(kind.class()));
    let rows = db.query(DUE, &[&clock, &schedule]).await.expect("the database serves");
    let item = |row: &tokio_postgres::Row| {
        (row.get("id"), ((row.get("class"), row.get("bucket")), row.get("n")))
    };
    rows.iter().map(item).collect()
}

fn buckets_of(held: &HashMap<Bucket, String>, region: &str) -> HashSet<Bucket> {
    held.iter().filter(|(_, holder)| *holder == region).map(|(bucket, _)| *bucket).collect()
}

/// How a place calls the nodes of a worker.
fn region(worker: usize) -> String {
    format!("worker-{worker}")
}
