//! Duties: what workers do without being asked, and the locks that say whose it is.
//!
//! A duty is a kind and a bucket of meshes. A worker has one connection for each kind; that
//! connection holds the session advisory locks of the worker's buckets, and every statement of the
//! kind runs on it: when it dies, the locks die with it, and so does the ability to act. Beside its
//! buckets the connection holds a seat, a lock that names its node, by which the workers know among
//! how many a kind is divided ([`crate::fence::observe`]).

use crate::{GenericClient, Result, statement::statements};

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
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Sweep, Self::Audit];

    /// The first number of the kind's locks. It stays as it is: workers of two versions share them.
    pub fn class(self) -> i32 {
        match self {
            Self::Sweep => LOCK_CLASS + 1,
            Self::Audit => LOCK_CLASS + 2,
        }
    }

    /// The kind in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Audit => "audit",
        }
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
