//! Duties: what workers do without being asked, and the locks that say whose it is.
//!
//! A duty is a kind and a bucket of meshes. A worker has one connection for each kind; that
//! connection holds the session advisory locks of the worker's buckets, and every statement of the
//! kind runs on it: when it dies, the locks die with it, and so does the ability to act. Beside its
//! buckets the connection holds a seat, a lock that names its node, by which the workers know among
//! how many a kind is divided ([`crate::fence::observe`]).

use std::time::Duration;

use jiff::Timestamp;

use crate::{GenericClient, Result, note, statement::statements};

statements! {
    // Rows are pulled one by one and filtered before they are counted: no lock is taken beyond
    // those that are returned.
    TAKE = "
        select bucket
          from unnest($2::integer[]) as bucket
         where pg_try_advisory_lock($1, bucket)
         limit $3";

    GIVE = "
        select count(*) filter (where pg_advisory_unlock($1, bucket)) as n_given
          from unnest($2::integer[]) as bucket";

    LEAVE = "
        select pg_advisory_unlock_all()";

    WAKE = "
        select pg_notify('node_' || id, $1)
          from node
         where kind = 'worker' and state in ('alive', 'draining')";

    REPORT = "
        insert into duty_report (node, kind, n_buckets, n_done, late_ms_max, late_ms_p99, at)
        select id, $2, $3, $4, $5, $6, now()
          from node
         where id = $1
        on conflict (node, kind) do update
           set n_buckets = excluded.n_buckets, n_done = duty_report.n_done + excluded.n_done,
               late_ms_max = excluded.late_ms_max, late_ms_p99 = excluded.late_ms_p99,
               at = excluded.at";

    REPORTS = "
        select n.id, n.region, n.state, n.started_at, r.kind, r.n_buckets, r.n_done, r.late_ms_max,
               r.late_ms_p99, r.at
          from node n
          left join duty_report r on r.node = n.id
         where n.kind = 'worker' and n.state in ('alive', 'draining')
         order by n.id, r.kind";
}

/// Buckets of each kind. A mesh is in the bucket of its number modulo this.
pub const BUCKETS: i32 = 64;

/// Where our advisory locks begin, so that those of another program in the same database are
/// others: "sk" in ASCII, then the kind.
const LOCK_CLASS: i32 = 0x736b_0000;

/// What a duty is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// What is over and has to be put away: dead nodes, departures, what expired.
    Sweep,
    /// What happened and has to be chained in the audit log.
    Audit,
    /// Schedules that are due.
    Schedule,
    /// Simulation clocks that tick.
    Clock,
    /// Addresses on the web that are looked at.
    Watch,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Sweep, Self::Audit, Self::Schedule, Self::Clock, Self::Watch];

    /// The first number of the kind's locks. It stays as it is: workers of two versions share them.
    pub fn class(self) -> i32 {
        match self {
            Self::Sweep => LOCK_CLASS + 1,
            Self::Audit => LOCK_CLASS + 2,
            Self::Schedule => LOCK_CLASS + 3,
            Self::Clock => LOCK_CLASS + 4,
            Self::Watch => LOCK_CLASS + 5,
        }
    }

    /// The kind in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Audit => "audit",
            Self::Schedule => "schedule",
            Self::Clock => "clock",
            Self::Watch => "watch",
        }
    }

    /// The kind of this name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The second number of the lock that is a node's seat.
pub fn seat(node: i32) -> i32 {
    BUCKETS + node
}

/// Takes the seat of `node` for this connection; false while an older connection of it has it.
pub async fn sit(db: &impl GenericClient, kind: Kind, node: i32) -> Result<bool> {
    Ok(!take(db, kind, &[seat(node)], 1).await?.is_empty())
}

/// Takes at most `n` of these buckets, in this order, for this connection; returns those that
/// nobody else had. The caller has none of them: a connection can take a lock twice.
pub async fn take(
    db: &impl GenericClient,
    kind: Kind,
    buckets: &[i32],
    n: usize,
) -> Result<Vec<i32>> {
    let take = db.prepare_cached(TAKE).await?;
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    let rows = db.query(&take, &[&kind.class(), &buckets, &n]).await?;
    Ok(rows.iter().map(|row| row.get("bucket")).collect())
}

/// Gives these buckets of this connection to whoever takes them.
pub async fn give(db: &impl GenericClient, kind: Kind, buckets: &[i32]) -> Result<i64> {
    let give = db.prepare_cached(GIVE).await?;
    Ok(db.query_one(&give, &[&kind.class(), &buckets]).await?.get("n_given"))
}

/// Gives everything that this connection has, its seat too.
pub async fn leave(db: &impl GenericClient) -> Result<()> {
    db.execute(LEAVE, &[]).await?;
    Ok(())
}

/// Workers sleep until something is due, and no longer than this: whoever stores something that is
/// due sooner wakes them.
pub const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Wakes this kind of duty of every worker: something is due sooner than they know. A hint; called
/// after the commit of what is due, and not in its transaction.
pub async fn wake(db: &impl GenericClient, kind: Kind) -> Result<()> {
    let wake = db.prepare_cached(WAKE).await?;
    db.execute(&wake, &[&note::wake(kind.as_str())]).await?;
    Ok(())
}

/// What a worker did of a kind since it last said so, and how late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many things.
    pub n_done: i64,
    /// The latest of them, in milliseconds.
    pub late_ms_max: i64,
    /// All but one in a hundred were no later than this.
    pub late_ms_p99: i64,
}

/// What a worker holds of a kind and did, as it last said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The kind.
    pub kind: String,
    /// Its buckets.
    pub n_buckets: i32,
    /// What it did, all in all, and how late it last was.
    pub tally: Tally,
    /// When it said so.
    pub at: Timestamp,
}

/// A worker and its reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its node.
    pub node: i32,
    /// Where it runs.
    pub region: String,
    /// `alive` or `draining`.
    pub state: String,
    /// Since when.
    pub started_at: Timestamp,
    /// One for each kind.
    pub reports: Vec<Report>,
}

/// Says what a worker holds of a kind, and adds what it did.
pub async fn report(
    db: &impl GenericClient,
    node: i32,
    kind: Kind,
    n_buckets: usize,
    tally: Tally,
) -> Result<()> {
    let report = db.prepare_cached(REPORT).await?;
    let n_buckets = i32::try_from(n_buckets).unwrap_or(BUCKETS);
    let Tally { n_done, late_ms_max, late_ms_p99 } = tally;
    let kind = kind.as_str();
    db.execute(&report, &[&node, &kind, &n_buckets, &n_done, &late_ms_max, &late_ms_p99]).await?;
    Ok(())
}

/// The workers that live, with what they last said.
pub async fn workers(db: &impl GenericClient) -> Result<Vec<Worker>> {
    let reports = db.prepare_cached(REPORTS).await?;
    let mut workers: Vec<Worker> = Vec::new();
    for row in db.query(&reports, &[]).await? {
        let node: i32 = row.get("id");
        if workers.last().is_none_or(|worker| worker.node != node) {
            workers.push(Worker {
                node,
                region: row.get("region"),
                state: row.get("state"),
                started_at: row.get("started_at"),
                reports: Vec::new(),
            });
        }
        let (Some(worker), Some(kind)) = (workers.last_mut(), row.get("kind")) else { continue };
        worker.reports.push(Report {
            kind,
            n_buckets: row.get("n_buckets"),
            tally: Tally {
                n_done: row.get("n_done"),
                late_ms_max: row.get("late_ms_max"),
                late_ms_p99: row.get("late_ms_p99"),
            },
            at: row.get("at"),
        });
    }
    Ok(workers)
}
