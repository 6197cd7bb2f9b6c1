//! Making a task, and completing one.
//!
//! Both run inside the caller's transaction. Whoever makes a task locks what it waits for, so that
//! what is completed meanwhile is either seen as done or counts down afterwards; the second
//! statement of a completion sees everything that was made before it got its lock.

use skein_wire::limit;

use super::Claimer;
use crate::{GenericClient, Result, new_id, statement::statements};

statements! {
    DEPENDENCIES = "
        select id, status
          from task
         where mesh = $1 and id = any($2)
         order by id
           for share";

    ROOM = "
        insert into task_count as c (mesh, n)
        values ($1, 1)
            on conflict (mesh) do update set n = c.n + 1
         where c.n < $2";

    // The count stays: a new one comes for it. Not what the new one depends on.
    DROP_OLDEST = "
        delete from task
         where mesh = $1
           and id in (select id
                        from task
                       where mesh = $1 and status = 'done' and id <> all($2)
                       order by created_at, id
                       limit 1
                         for update skip locked)";

    INSERT = "
        insert into task (id, mesh, title, assignee, priority, tags, created_by, waits_for)
        values ($2, $1, $3, $4, $5, $6, $7, $8)";

    DEPEND = "
        insert into task_dependency (mesh, task, depends_on)
        select $1, $2, id
          from unnest($3::text[]) as d(id)";

    LOCK = "
        select status,
               (claimed_by = $3 and (claimed_session is null or claimed_session = $4)) is true
                   as is_held,
               completed_by
          from task
         where mesh = $1 and id = $2
           for update";

    COMPLETE = "
        update task
           set status = 'done', result = $4, completed_by = $3, completed_at = now(),
               leased_until = null
         where mesh = $1 and id = $2";

    COUNT_DOWN = "
        with waiting as (
            select id
              from task
             where mesh = $1
               and id in (select task from task_dependency where mesh = $1 and depends_on = $2)
             order by id
               for update)
        update task t
           set waits_for = waits_for - 1
          from waiting
         where t.mesh = $1 and t.id = waiting.id";
}

/// A task that is to be made.
#[derive(Debug)]
pub struct NewTask<'a> {
    /// What is to be done.
    pub title: &'a str,
    /// Whom it is for.
    pub assignee: Option<&'a str>,
    /// How urgent.
    pub priority: &'a str,
    /// Its tags.
    pub tags: &'a [String],
    /// Different tasks that it waits for.
    pub depends_on: &'a [String],
}

/// What became of a wish to make a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// It was made, with this id.
    Made(String),
    /// It is to wait for a task that the mesh does not have.
    UnknownDependency(String),
    /// The mesh has as many tasks as it may, and none is done.
    Full,
}

/// Makes a task of `member`, inside the caller's transaction.
pub async fn create(
    db: &impl GenericClient,
    mesh: i64,
    member: i64,
    new: &NewTask<'_>,
) -> Result<Creation> {
    let NewTask { title, assignee, priority, tags, depends_on } = new;
    let dependencies = db.prepare_cached(DEPENDENCIES).await?;
    let known = match *depends_on {
        [] => Vec::new(),
        ids => db.query(&dependencies, &[&mesh, &ids]).await?,
    };
    let is_known = |id: &&String| known.iter().any(|row| row.get::<_, &str>("id") == id.as_str());
    if let Some(unknown) = depends_on.iter().find(|id| !is_known(id)) {
        return Ok(Creation::UnknownDependency(unknown.clone()));
    }
    let undone = known.iter().filter(|row| row.get::<_, &str>("status") != "done");
    let waits_for = i64::try_from(undone.count()).expect("few tasks are waited for");
    let room = db.prepare_cached(ROOM).await?;
    if db.execute(&room, &[&mesh, &limit::TASKS_MAX]).await? == 0 {
        let oldest = db.prepare_cached(DROP_OLDEST).await?;
        if db.execute(&oldest, &[&mesh, depends_on]).await? == 0 {
            return Ok(Creation::Full);
        }
    }
    let id = new_id();
    let insert = db.prepare_cached(INSERT).await?;
    db.execute(&insert, &[&mesh, &id, title, assignee, priority, tags, &member, &waits_for])
        .await?;
    if !depends_on.is_empty() {
        let depend = db.prepare_cached(DEPEND).await?;
        db.execute(&depend, &[&mesh, &id, depends_on]).await?;
    }
    Ok(Creation::Made(id))
}

/// What became of a wish to complete a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// It is done now.
    Done,
    /// It was done by the caller before.
    Repeated,
    /// The caller does not hold it, and asked for it only in that case.
    NotHeld,
    /// The mesh has no such task.
    Unknown,
}

/// Completes a task, inside the caller's transaction; with `if_held` only if `by` holds it.
pub async fn complete(
    db: &impl GenericClient,
    mesh: i64,
    id: &str,
    by: Claimer<'_>,
    result: Option<&str>,
    if_held: bool,
) -> Result<Completion> {
    let Claimer { member, session } = by;
    let lock = db.prepare_cached(LOCK).await?;
    let Some(was) = db.query_opt(&lock, &[&mesh, &id, &member, &session]).await? else {
        return Ok(Completion::Unknown);
    };
    let was_done = was.get::<_, &str>("status") == "done";
    if if_held {
        let is_own = was.get::<_, Option<i64>>("completed_by") == Some(member);
        let is_held: bool = was.get("is_held");
        if !is_held || was_done && !is_own {
            return Ok(Completion::NotHeld);
        }
        if was_done {
            return Ok(Completion::Repeated);
        }
    }
    let complete = db.prepare_cached(COMPLETE).await?;
    db.execute(&complete, &[&mesh, &id, &member, &result]).await?;
    if !was_done {
        let count_down = db.prepare_cached(COUNT_DOWN).await?;
        db.execute(&count_down, &[&mesh, &id]).await?;
    }
    Ok(Completion::Done)
}
