//! The sweep: what is over is put away.
//!
//! Everything here is done in bounded steps, each of them safe to run twice and by two workers at
//! once: a step finds what is undone, takes only rows that nobody else holds, and leaves the rest
//! to the next step. Ages come from the caller, so that a test need not wait.
//!
//! - [`nodes`]: what a fenced node left behind.
//! - [`departures`]: sessions that did not come back in time.
//! - [`expiry`]: mail that nobody collected, sessions that nobody used, statuses that lapsed.
//! - [`state`]: keys whose time is over.
//! - [`memory`]: what is remembered for a while only: keys of sends, hooks, counts.

pub mod departures;
pub mod expiry;
pub mod memory;
pub mod nodes;
pub mod state;

use std::time::Duration;

use crate::{GenericClient, Result, statement::statements};

statements! {
    LOOK = "
        select coalesce((select array_agg(n.id order by n.id)
                           from node n
                          where n.state = 'fenced' and n.id % $2::integer = any($1)),
                        '{}') as fenced,
               (select extract(epoch from min(s.depart_at) - now())::float8
                  from session s
                 where s.depart_at is not null and s.announced = 'here'
                   and (s.mesh % $2::integer)::integer = any($1)) as departure_s,
               exists (select from state where expires_at <= clock_timestamp()) as is_state_over,
               exists (select
                         from task t
                        where t.leased_until is not null
                          and (t.mesh % $2::integer)::integer = any($1)
                          and (t.leased_until < now()
                               or t.claimed_session is not null
                                  and not exists (
                                      select from session s
                                       where s.mesh = t.mesh and s.key = t.claimed_session
                                         and s.announced = 'here'))) as is_lease_over";

    TELL = "
        select pg_notify('node_' || n.id, $2)
          from node n
         where n.id = any($1) and n.state in ('alive', 'draining')";
}

/// What a gap is called on a node's channel: the node reads everything that is unsettled.
const GAP: &str = r#"{"k":"look"}"#;

/// What is to be done in some buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Fenced nodes that are not swept. A node is in the bucket of its id.
    pub fenced: Vec<i32>,
    /// How long until the next departure is due; zero when one is.
    pub departure_in: Option<Duration>,
    /// Whether the time of a key of the state is over, in whatever bucket.
    pub is_state_over: bool,
    /// Whether a lease of a task has ended, or its holder is gone.
    pub is_lease_over: bool,
}

/// Looks what is to be done in these buckets.
pub async fn look(db: &impl GenericClient, buckets: &[i32]) -> Result<Look> {
    let look = db.prepare_cached(LOOK).await?;
    let row = db.query_one(&look, &[&buckets, &crate::duties::BUCKETS]).await?;
    let departure_s: Option<f64> = row.get("departure_s");
    Ok(Look {
        fenced: row.get("fenced"),
        departure_in: departure_s
            .map(|s| Duration::try_from_secs_f64(s.max(0.0)).unwrap_or(Duration::MAX)),
        is_state_over: row.get("is_state_over"),
        is_lease_over: row.get("is_lease_over"),
    })
}

/// Tells these nodes, where they are alive, that they may have missed something.
pub async fn tell(db: &impl GenericClient, nodes: &[i32]) -> Result<()> {
    tell_payload(db, nodes, GAP).await
}

async fn tell_payload(db: &impl GenericClient, nodes: &[i32], payload: &str) -> Result<()> {
    let tell = db.prepare_cached(TELL).await?;
    db.execute(&tell, &[&nodes, &payload]).await?;
    Ok(())
}

/// For `make_interval`.
fn secs(age: Duration) -> f64 {
    age.as_secs_f64()
}
