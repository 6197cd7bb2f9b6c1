//! Leases that have ended: a worker opens their tasks again, and tells who watches.

use serde_json::json;
use skein_wire::{
    limit,
    tasks::{Change, Task, TaskChange},
};

use super::read;
use crate::{GenericClient, Result, duties, statement::statements};

/// Leases that one step ends.
const LAPSED_MAX: i64 = 1000;

statements! {
    LAPSE = "
        with due as (
            select t.id
              from task t
             where t.leased_until is not null and (t.mesh % $2::integer)::integer = any($1)
               and (t.leased_until < now()
                    or t.claimed_session is not null
                       and not exists (select from session s
                                        where s.mesh = t.mesh and s.key = t.claimed_session
                                          and s.announced = 'here'))
             order by t.id
             limit $3
               for update skip locked)
        update task t
           set status = 'open', claimed_by = null, claimed_session = null, claimed_at = null,
               leased_until = null
          from due
         where t.id = due.id
        returning t.mesh, t.id,
                  (extract(epoch from clock_timestamp()) * 1000000)::bigint as at_us";

    TELL = "
        select pg_notify('node_' || a.node, $2)
          from (select distinct p.node
                  from presence p
                  join node n on n.id = p.node and n.state in ('alive', 'draining')
                 where p.mesh = $1) a";
}

/// A task that is open again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lapsed {
    /// The mesh's number.
    pub mesh: i64,
    /// The task.
    pub id: String,
    /// Tells the word of it from those before.
    at_us: i64,
}

/// Opens again the tasks of these buckets whose lease has ended, or whose session is gone.
pub async fn lapse(db: &impl GenericClient, buckets: &[i32]) -> Result<Vec<Lapsed>> {
    let lapse = db.prepare_cached(LAPSE).await?;
    let rows = db.query(&lapse, &[&buckets, &duties::BUCKETS, &LAPSED_MAX]).await?;
    let lapsed = rows.iter().map(|row| Lapsed {
        mesh: row.get("mesh"),
        id: row.get("id"),
        at_us: row.get("at_us"),
    });
    Ok(lapsed.collect())
}

/// Tells the sessions that watch tasks. What does not fit a notification is not told: the word is a
/// hint.
pub async fn announce(db: &impl GenericClient, lapsed: &[Lapsed]) -> Result<()> {
    let tell = db.prepare_cached(TELL).await?;
    for one in lapsed {
        let Some(task) = read(db, one.mesh, std::slice::from_ref(&one.id), false).await?.pop()
        else {
            continue;
        };
        let word = word(one, task);
        if word.len() <= limit::NOTIFY_BYTES_MAX {
            db.query(&tell, &[&one.mesh, &word]).await?;
        }
    }
    Ok(())
}

/// The word, as the relay of an edge reads it. It is of no node, so its number is the time.
fn word(lapsed: &Lapsed, task: Task) -> String {
    let frame = TaskChange { change: Change::Lapsed, task };
    let frame = skein_wire::encode(&frame, None);
    let audience = json!({"mesh": lapsed.mesh, "topic": skein_wire::tasks::TOPIC});
    json!({
        "k": "relay", "w": 0, "c": lapsed.at_us, "l": [{"event": [audience, {"here": frame}]}],
    })
    .to_string()
}
