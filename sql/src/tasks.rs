//! Tasks of a mesh.
//!
//! A claim is one statement: the `where` decides who was first, so two claimers can never both win.
//! A task that waits for others counts those that are not done; whoever completes one of them
//! counts down. A task is made after what it waits for, so nothing waits for itself.
//!
//! A lease that has ended, or whose holder is gone, is still the holder's until a worker's
//! [`lapse`] opens the task again.

pub(crate) mod change;
pub(crate) mod claim;
pub(crate) mod lapse;

pub use change::{Completion, Creation, NewTask, complete, create};
pub use claim::{Claimer, Wanted, claim, claim_next, is_any_next, renew};
pub use lapse::{Lapsed, announce, lapse};

use skein_wire::{limit, mesh_info::TaskCounts, tasks::Task};
use tokio_postgres::Row;

use crate::{GenericClient, Result, iso, statement::statements};

statements! {
    NEWEST = "
        select id
          from task
         where mesh = $1 and ($2::text is null or assignee = $2)
         order by created_at desc, id desc
         limit $3";

    NEWEST_OF = "
        select id
          from task
         where mesh = $1 and ($2::text is null or assignee = $2) and status = $4
         order by created_at desc, id desc
         limit $3";

    READ = "
        select t.id, t.title, t.assignee, t.status, t.priority, t.tags, t.created_at, t.waits_for,
               t.claims, t.claimed_session, t.claimed_at, t.leased_until, t.completed_at,
               c.display_name as created_by, h.display_name as claimed_by,
               d.display_name as completed_by,
               case when $3 then t.result end as result,
               array(select n.depends_on from task_dependency n
                      where n.task = t.id order by n.depends_on) as depends_on
          from task t
          join member c on c.mailbox = t.created_by
          left join member h on h.mailbox = t.claimed_by
          left join member d on d.mailbox = t.completed_by
         where t.mesh = $1 and t.id = any($2)
         order by t.created_at desc, t.id desc";

    COUNTS = "
        select count(*) filter (where status = 'open') as open,
               count(*) filter (where status = 'claimed') as claimed,
               count(*) filter (where status = 'done') as done
          from task
         where mesh = $1";
}

/// The newest hundred tasks of `mesh`: all, or those of exactly this status or assignee. Without
/// their results.
pub async fn list(
    db: &impl GenericClient,
    mesh: i64,
    status: Option<&str>,
    assignee: Option<&str>,
) -> Result<Vec<Task>> {
    let max = limit::TASKS_LISTED_MAX;
    let rows = match status {
        Some(status) => {
            let newest = db.prepare_cached(NEWEST_OF).await?;
            db.query(&newest, &[&mesh, &assignee, &max, &status]).await?
        }
        None => {
            let newest = db.prepare_cached(NEWEST).await?;
            db.query(&newest, &[&mesh, &assignee, &max]).await?
        }
    };
    let ids: Vec<String> = rows.iter().map(|row| row.get("id")).collect();
    read(db, mesh, &ids, false).await
}

/// A task with its result.
pub async fn get(db: &impl GenericClient, mesh: i64, id: &str) -> Result<Option<Task>> {
    Ok(read(db, mesh, &[id.to_owned()], true).await?.pop())
}

/// A task without its result.
pub async fn glance(db: &impl GenericClient, mesh: i64, id: &str) -> Result<Option<Task>> {
    Ok(read(db, mesh, &[id.to_owned()], false).await?.pop())
}

async fn read(
    db: &impl GenericClient,
    mesh: i64,
    ids: &[String],
    with_results: bool,
) -> Result<Vec<Task>> {
    let read = db.prepare_cached(READ).await?;
    Ok(db.query(&read, &[&mesh, &ids, &with_results]).await?.iter().map(task).collect())
}

fn task(row: &Row) -> Task {
    Task {
        id: row.get("id"),
        title: row.get("title"),
        assignee: row.get("assignee"),
        claimed_by: row.get("claimed_by"),
        status: row.get("status"),
        priority: row.get("priority"),
        created_by: row.get("created_by"),
        tags: row.get("tags"),
        created_at: iso(row.get("created_at")),
        depends_on: Some(row.get("depends_on")),
        waits_for: Some(row.get("waits_for")),
        claims: Some(row.get("claims")),
        claimed_session: row.get("claimed_session"),
        claimed_at: row.get::<_, Option<_>>("claimed_at").map(iso),
        leased_until: row.get::<_, Option<_>>("leased_until").map(iso),
        completed_by: row.get("completed_by"),
        completed_at: row.get::<_, Option<_>>("completed_at").map(iso),
        result: row.get("result"),
    }
}

/// How many tasks `mesh` has, by status.
pub async fn counts(db: &impl GenericClient, mesh: i64) -> Result<TaskCounts> {
    let counts = db.prepare_cached(COUNTS).await?;
    let row = db.query_one(&counts, &[&mesh]).await?;
    Ok(TaskCounts { open: row.get("open"), claimed: row.get("claimed"), done: row.get("done") })
}
