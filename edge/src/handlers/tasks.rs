//! Tasks: create, claim, complete, list; ours also claim the next, renew, read and watch.
//!
//! The database decides every race; a handler asks once and words the refusal. Old clients do not
//! wait for what becomes of a claim or a completion, and take what comes for something else:
//! without `_reqId` they are told nothing.

mod next;

use std::{collections::BTreeSet, time::Duration};

use skein_sql::tasks::{self, Claimer, Completion, Creation, NewTask};
use skein_wire::{
    Code, limit,
    tasks::{
        Change, ClaimTask, CompleteTask, CreateTask, GetTask, Holder, ListTasks, RenewTask,
        Request, TOPIC, Task, TaskChange, TaskCreated, TaskList, TaskResult, WatchTasks,
    },
};

use super::{Context, Error, Result, tags, within};
use crate::relay::Event;

/// A transaction that met another in the wrong order is tried again.
const TRIES: usize = 3;

/// Serves one tasks message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::CreateTask(call) => create(ctx, &call).await,
        Request::ClaimTask(call) => claim(ctx, &call).await,
        Request::CompleteTask(call) => complete(ctx, &call).await,
        Request::ListTasks(call) => list(ctx, &call).await,
        Request::ClaimNext(call) => next::claim(ctx, &call).await,
        Request::RenewTask(call) => renew(ctx, &call).await,
        Request::GetTask(call) => get(ctx, &call).await,
        Request::WatchTasks(call) => watch(ctx, &call),
    }
}

async fn create(ctx: &Context<'_>, call: &CreateTask) -> Result<Option<String>> {
    let given = call.tags.as_deref().unwrap_or_default();
    let assignee = call.assignee.as_deref().filter(|assignee| !assignee.is_empty());
    let priority = call.priority.as_deref().unwrap_or("normal");
    let waits_for = call.depends_on.as_deref().unwrap_or_default();
    within("title", call.title.len(), limit::TASK_TITLE_BYTES_MAX)?;
    within("assignee", assignee.map_or(0, str::len), limit::TASK_ASSIGNEE_BYTES_MAX)?;
    within("priority", priority.len(), limit::TASK_PRIORITY_BYTES_MAX)?;
    tags(given)?;
    if waits_for.len() > limit::TASK_DEPENDENCIES_MAX {
        let max = limit::TASK_DEPENDENCIES_MAX;
        let why = format!("`dependsOn` has {} tasks, at most {max}", waits_for.len());
        return Err(Error::Refused(Code::TooLarge, why));
    }
    let different: BTreeSet<&String> = waits_for.iter().collect();
    let different: Vec<String> = different.into_iter().cloned().collect();
    let new =
        NewTask { title: &call.title, assignee, priority, tags: given, depends_on: &different };
    let mut tries = TRIES;
    let created = loop {
        match try_create(ctx, &new).await {
            Err(error) if is_worth_a_try(&error, &mut tries) => (),
            created => break created?,
        }
    };
    match created {
        Creation::Made(id) => {
            tell(ctx, Change::Created, &id).await?;
            Ok(ctx.reply::<CreateTask>(&TaskCreated { id }))
        }
        Creation::UnknownDependency(id) => {
            let shown: String = id.chars().take(64).collect();
            let why = format!("`dependsOn`: this mesh has no task `{shown}`");
            Err(Error::Refused(Code::TaskNotFound, why))
        }
        Creation::Full => Err(Code::TasksFull.into()),
    }
}

async fn try_create(ctx: &Context<'_>, new: &NewTask<'_>) -> Result<Creation> {
    let mut db = ctx.db().await?;
    let transaction = db.transaction().await.map_err(skein_sql::Error::from)?;
    let (mesh, member) = (ctx.session.mesh, ctx.session.member);
    let created = tasks::create(&transaction, mesh, member, new).await?;
    // A task that was not made takes no room: that is rolled back.
    if matches!(created, Creation::Made(_)) {
        transaction.commit().await.map_err(skein_sql::Error::from)?;
    }
    Ok(created)
}

async fn claim(ctx: &Context<'_>, call: &ClaimTask) -> Result<Option<String>> {
    let lease = lease(call.lease_seconds)?;
    let db = ctx.db().await?;
    let claimer = claimer(ctx, call.holder);
    if !tasks::claim(&db, ctx.session.mesh, &call.task_id, claimer, lease).await? {
        let task = tasks::glance(&db, ctx.session.mesh, &call.task_id).await?;
        return Err(Error::Refused(Code::TaskNotClaimable, why_not(ctx, task)));
    }
    drop(db);
    tell(ctx, Change::Claimed, &call.task_id).await?;
    changed::<ClaimTask>(ctx, &call.task_id).await
}

/// Why a task cannot be claimed: old clients are told the contract's words.
fn why_not(ctx: &Context<'_>, task: Option<Task>) -> String {
    let general = Code::TaskNotClaimable.message().to_owned();
    if !ctx.session.caps.replies {
        return general;
    }
    match task {
        None => "this mesh has no such task".to_owned(),
        Some(task) => match (task.status.as_str(), task.claimed_by, task.waits_for) {
            ("open", _, Some(n)) if n > 0 => format!("the task waits for {n} others to be done"),
            ("claimed", Some(name), _) => format!("the task is claimed by {name}"),
            ("done", ..) => "the task is done".to_owned(),
            // It was claimed when we asked, and is open again.
            _ => general,
        },
    }
}

async fn complete(ctx: &Context<'_>, call: &CompleteTask) -> Result<Option<String>> {
    let result = call.result.as_deref();
    within("result", result.map_or(0, str::len), limit::TASK_RESULT_BYTES_MAX)?;
    let if_held = call.if_held.unwrap_or(false);
    let mut tries = TRIES;
    let completed = loop {
        match try_complete(ctx, &call.task_id, result, if_held).await {
            Err(error) if is_worth_a_try(&error, &mut tries) => (),
            completed => break completed?,
        }
    };
    match completed {
        Completion::Done => tell(ctx, Change::Completed, &call.task_id).await?,
        Completion::Repeated => (),
        Completion::NotHeld => return Err(Code::TaskNotHeld.into()),
        Completion::Unknown => return Err(Code::TaskNotFound.into()),
    }
    changed::<CompleteTask>(ctx, &call.task_id).await
}

async fn try_complete(
    ctx: &Context<'_>,
    id: &str,
    result: Option<&str>,
    if_held: bool,
) -> Result<Completion> {
    let mut db = ctx.db().await?;
    let transaction = db.transaction().await.map_err(skein_sql::Error::from)?;
    let (mesh, by) = (ctx.session.mesh, claimer(ctx, None));
    let completed = tasks::complete(&transaction, mesh, id, by, result, if_held).await?;
    transaction.commit().await.map_err(skein_sql::Error::from)?;
    Ok(completed)
}

/// The answer to whoever changed a task.
async fn changed<C>(ctx: &Context<'_>, id: &str) -> Result<Option<String>>
where
    C: skein_wire::Call<Reply = TaskList>,
{
    if is_silent(ctx) {
        return Ok(None);
    }
    let db = ctx.db().await?;
    let tasks = tasks::list(&db, ctx.session.mesh, None, None).await?;
    let task = match ctx.session.caps.replies {
        true => tasks::get(&db, ctx.session.mesh, id).await?,
        false => None,
    };
    Ok(ctx.reply::<C>(&TaskList { tasks: shown(ctx, tasks), task }))
}

/// Whether nobody waits for an answer, and would take it for that to something else.
fn is_silent(ctx: &Context<'_>) -> bool {
    ctx.req_id.is_none() && !ctx.session.caps.replies
}

async fn list(ctx: &Context<'_>, call: &ListTasks) -> Result<Option<String>> {
    // What the reference's own tool offers for `done`.
    let status = call.status.as_deref().map(|word| if word == "completed" { "done" } else { word });
    let db = ctx.db().await?;
    let tasks = tasks::list(&db, ctx.session.mesh, status, call.assignee.as_deref()).await?;
    Ok(ctx.reply::<ListTasks>(&TaskList { tasks: shown(ctx, tasks), task: None }))
}

/// Tasks as this peer is shown them.
fn shown(ctx: &Context<'_>, tasks: Vec<Task>) -> Vec<Task> {
    if ctx.session.caps.replies {
        return tasks;
    }
    tasks.into_iter().map(Task::plain).collect()
}

async fn renew(ctx: &Context<'_>, call: &RenewTask) -> Result<Option<String>> {
    let lease = lease(Some(call.lease_seconds))?.unwrap_or_default();
    let (mesh, id) = (ctx.session.mesh, &call.task_id);
    let db = ctx.db().await?;
    let is_renewed = tasks::renew(&db, mesh, id, claimer(ctx, None), lease).await?;
    let task = tasks::get(&db, mesh, id).await?.ok_or(Code::TaskNotFound)?;
    if !is_renewed {
        return Err(Code::TaskNotHeld.into());
    }
    Ok(ctx.reply::<RenewTask>(&TaskResult { task: Some(task) }))
}

async fn get(ctx: &Context<'_>, call: &GetTask) -> Result<Option<String>> {
    let db = ctx.db().await?;
    let task = tasks::get(&db, ctx.session.mesh, &call.task_id).await?;
    let task = task.ok_or(Code::TaskNotFound)?;
    Ok(ctx.reply::<GetTask>(&TaskResult { task: Some(task) }))
}

fn watch(ctx: &Context<'_>, call: &WatchTasks) -> Result<Option<String>> {
    match call.watch {
        true => ctx.node.relay.follow(ctx.session, TOPIC)?,
        false => ctx.node.relay.unfollow(ctx.session, TOPIC),
    }
    Ok(None)
}

/// Tells who watches what happened to a task, as it is now.
async fn tell(ctx: &Context<'_>, change: Change, id: &str) -> Result<()> {
    let task = tasks::glance(&ctx.db().await?, ctx.session.mesh, id).await?;
    if let Some(task) = task {
        let frame = skein_wire::encode(&TaskChange { change, task }, None);
        ctx.node.relay.event(Event::to_mesh(ctx.session.mesh, frame).following(TOPIC)).await;
    }
    Ok(())
}

/// The session of a call as one who claims; `None` of a holder is the session.
fn claimer<'a>(ctx: &Context<'a>, holder: Option<Holder>) -> Claimer<'a> {
    let session = match holder.unwrap_or_default() {
        Holder::Session => Some(ctx.session.key.as_str()),
        Holder::Member => None,
    };
    Claimer { member: ctx.session.member, session }
}

/// How long a lease is to be.
fn lease(seconds: Option<u32>) -> Result<Option<Duration>> {
    let lease = seconds.map(|seconds| Duration::from_secs(seconds.into()));
    if lease.is_some_and(|lease| lease.is_zero() || lease > limit::LEASE_MAX) {
        let max = limit::LEASE_MAX.as_secs();
        let why = format!("`leaseSeconds` must be from 1 to {max}");
        return Err(Error::Refused(Code::InvalidMessage, why));
    }
    Ok(lease)
}

/// Whether a transaction failed only because another was in its way.
fn is_worth_a_try(error: &Error, tries: &mut usize) -> bool {
    *tries -= 1;
    *tries > 0 && matches!(error, Error::Sql(error) if error.is_retriable())
}
