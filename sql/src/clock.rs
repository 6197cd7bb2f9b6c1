//! Simulation clocks: what each shows, and the ticks that workers make.
//!
//! A tick is a guarded update: who makes it holds the row, and the guard is that it is due, so no
//! number is given twice, whoever else tries. It is planned from the clock's anchor. One that comes
//! later than a whole step, after an outage, becomes the new anchor: the next number, and no burst.
//! Ticks that make a schedule due are each a transaction of their own, beside the others' one
//! ([`tick`], [`tick_scheduled`]): what fires in one mesh holds up no other for longer.
//!
//! The row is the truth of what a mesh has to be told: every number up to its `tick`, each once. A
//! clock's time follows from the number alone, so whoever missed some can tell them later.

use std::{collections::HashMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use skein_wire::{
    audit::Event,
    clock::{self, ClockStatus, Tick},
    limit,
};
use tokio_postgres::Row;

use crate::{
    GenericClient, Result,
    audit::{self, Actor, Note},
    iso, nodes,
    statement::statements,
    tell,
};

/// Clocks that one step lets tick.
const TICKS_MAX: i64 = 1000;
/// Clocks in one notification: each is at most 100 bytes of it.
const HEADS_MAX: usize = 64;

statements! {
    // The tick that it goes on from is that of the row once it is locked.
    SET = "
        insert into clock as c (mesh, speed, sim_base, started_at, anchor_at, due_at)
        select $1, $2, n.at, n.at, n.at, n.at + make_interval(secs => $3)
          from (select clock_timestamp() as at) n
            on conflict (mesh) do update
           set speed = excluded.speed, anchor_tick = c.tick, anchor_at = excluded.anchor_at,
               due_at = excluded.due_at
        returning speed, paused, tick, sim_base, started_at";

    PAUSE = "
        update clock
           set paused = true
         where mesh = $1 and not paused
        returning speed, paused, tick, sim_base, started_at";

    RESUME = "
        update clock c
           set paused = false, anchor_tick = c.tick, anchor_at = n.at,
               due_at = n.at + make_interval(secs => $2::float8 / c.speed)
          from (select clock_timestamp() as at) n
         where c.mesh = $1 and c.paused
        returning c.speed, c.paused, c.tick, c.sim_base, c.started_at";

    GET = "
        select speed, paused, tick, sim_base, started_at
          from clock
         where mesh = $1";

    HEADS = "
        select mesh, tick, speed, sim_base
          from clock
         where mesh = any($1)";

    // Whether a schedule comes due with the next tick is asked of those only that are due.
    NEXT = "
        select extract(epoch from min(c.due_at) - clock_timestamp())::float8 as in_s,
               coalesce(bool_or(not d.is_scheduled), false) as is_plain,
               coalesce(bool_or(d.is_scheduled), false) as is_scheduled
          from clock c
          cross join lateral (
               select case when c.due_at <= now() then exists (
                          select from schedule s
                           where s.mesh = c.mesh
                             and s.sim_due_at <= c.sim_base
                                                 + make_interval(secs => (c.tick + 1) * $2::float8))
                      end as is_scheduled) d
         where c.bucket = any($1) and not c.paused";

    // A mesh without anybody stands still. Who is away no longer than the grace is here.
    TICK = "
        with due as (
            select c.mesh, c.tick, c.due_at,
                   now() - c.due_at > make_interval(secs => $3::float8 / c.speed) as is_late,
                   exists (select from presence p where p.mesh = c.mesh)
                   or exists (select from session s
                               where s.mesh = c.mesh and s.depart_at > now()
                                 and s.announced = 'here') as is_anybody_here
              from clock c
             where c.bucket = any($1) and not c.paused and c.due_at <= now()
               and exists (select from schedule s
                            where s.mesh = c.mesh
                              and s.sim_due_at <= c.sim_base
                                                  + make_interval(secs => (c.tick + 1) * $3)) = $4
             order by c.due_at
             limit $2
               for update skip locked)
        update clock c
           set paused = not d.is_anybody_here,
               tick = case when d.is_anybody_here then c.tick + 1 else c.tick end,
               anchor_tick = case when d.is_anybody_here and d.is_late then c.tick + 1
                                  else c.anchor_tick end,
               anchor_at = case when d.is_anybody_here and d.is_late then now()
                                else c.anchor_at end,
               due_at = case when d.is_late then now() + make_interval(secs => $3 / c.speed)
                             else c.anchor_at + make_interval(
                                      secs => (c.tick + 2 - c.anchor_tick) * $3 / c.speed) end
          from due d
         where c.mesh = d.mesh and c.tick = d.tick and c.due_at <= now() and not c.paused
        returning c.mesh, c.tick, c.speed, c.sim_base, c.paused,
                  extract(epoch from clock_timestamp() - d.due_at)::float8 as late_s";

    NOTIFY = "
        select pg_notify(t.channel, t.payload)
          from unnest($1::text[], $2::text[]) as t(channel, payload)";

    PAUSE_EMPTY = "
        with paused as (
            update clock c
               set paused = true
             where c.mesh = any($1) and not c.paused
               and not exists (select from presence p where p.mesh = c.mesh)
               and not exists (select from session s
                                where s.mesh = c.mesh and s.depart_at > now()
                                  and s.announced = 'here')
            returning c.mesh),
        audited as (
            insert into audit_intake (mesh, event_type, actor_id, actor, payload)
            select mesh, 'clock_paused', 'system', 'system', $2 from paused)
        select mesh from paused";
}

/// Where a clock is: what the sessions of its mesh are to be told up to, and how it goes to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The mesh's number.
    pub m: i64,
    /// Its last tick.
    pub t: i64,
    /// What it showed at tick 0, epoch milliseconds.
    pub b: i64,
    /// Its speed.
    pub s: f64,
}

impl Head {
    /// What the clock shows.
    pub fn sim_time(&self) -> Timestamp {
        sim_time(Timestamp::from_millisecond(self.b).unwrap_or_default(), self.t)
    }

    /// The tick of this number, as sessions are told it.
    pub fn tick(&self, tick: i64) -> Tick {
        let sim_time = iso(Self { t: tick, ..*self }.sim_time());
        Tick { tick, sim_time, speed: self.s }
    }
}

/// What is to be done of ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// When the next is due: zero when one is.
    pub wait: Duration,
    /// One is due with which no schedule is.
    pub is_plain: bool,
    /// One is due that makes a schedule due.
    pub is_scheduled: bool,
}

/// What one step came to.
#[derive(Debug, Default)]
pub struct Ticked {
    /// Clocks that have ticked.
    pub heads: Vec<Head>,
    /// Meshes without anybody, whose clocks stand still now.
    pub paused: Vec<i64>,
    /// How late the ticks were.
    pub late: Vec<Duration>,
}

/// Starts the clock of `mesh`, or changes its speed, in the caller's transaction.
pub async fn set(
    db: &impl GenericClient,
    mesh: i64,
    by: Actor<'_>,
    speed: f64,
) -> Result<ClockStatus> {
    let speed = clock::held(speed);
    let step_s = clock::interval(speed).as_secs_f64();
    let set = db.prepare_cached(SET).await?;
    let row = db.query_one(&set, &[&mesh, &speed, &step_s]).await?;
    audit::add(db, mesh, by, Event::ClockSet { speed }).await?;
    Ok(status(&row))
}

/// Stops the clock of `mesh`, in the caller's transaction; `None` when it has none.
pub async fn pause(
    db: &impl GenericClient,
    mesh: i64,
    by: Actor<'_>,
) -> Result<Option<ClockStatus>> {
    let pause = db.prepare_cached(PAUSE).await?;
    let Some(row) = db.query_opt(&pause, &[&mesh]).await? else { return get(db, mesh).await };
    audit::add(db, mesh, by, Event::ClockPaused { by_itself: None }).await?;
    Ok(Some(status(&row)))
}

/// Lets the clock of `mesh` go on, in the caller's transaction; `None` when it has none.
pub async fn resume(
    db: &impl GenericClient,
    mesh: i64,
    by: Actor<'_>,
) -> Result<Option<ClockStatus>> {
    let resume = db.prepare_cached(RESUME).await?;
    let row = db.query_opt(&resume, &[&mesh, &limit::CLOCK_STEP.as_secs_f64()]).await?;
    let Some(row) = row else { return get(db, mesh).await };
    audit::add(db, mesh, by, Event::ClockResumed {}).await?;
    Ok(Some(status(&row)))
}

/// How the clock of `mesh` stands; `None` when it has none.
pub async fn get(db: &impl GenericClient, mesh: i64) -> Result<Option<ClockStatus>> {
    let get = db.prepare_cached(GET).await?;
    Ok(db.query_opt(&get, &[&mesh]).await?.as_ref().map(status))
}

/// Where the clocks of these meshes are; those that have none are left out.
pub async fn heads(db: &impl GenericClient, meshes: &[i64]) -> Result<Vec<Head>> {
    let heads = db.prepare_cached(HEADS).await?;
    Ok(db.query(&heads, &[&meshes]).await?.iter().map(head).collect())
}

/// What is to be done of these buckets' ticks; `None` when no clock goes.
pub async fn next(db: &impl GenericClient, buckets: &[i32]) -> Result<Option<Next>> {
    let next = db.prepare_cached(NEXT).await?;
    let row = db.query_one(&next, &[&buckets, &limit::CLOCK_STEP.as_secs_f64()]).await?;
    let (is_plain, is_scheduled) = (row.get("is_plain"), row.get("is_scheduled"));
    let next = |in_s| Next { wait: duration(in_s), is_plain, is_scheduled };
    Ok(row.get::<_, Option<f64>>("in_s").map(next))
}

/// Lets the clocks of these buckets tick that are due and with which no schedule is, in the
/// caller's transaction.
pub async fn tick(db: &impl GenericClient, buckets: &[i32]) -> Result<Ticked> {
    tick_some(db, buckets, TICKS_MAX, false).await
}

/// Lets the clock tick that has been due longest of those that make a schedule due, in the caller's
/// transaction, in which that fires.
pub async fn tick_scheduled(db: &impl GenericClient, buckets: &[i32]) -> Result<Ticked> {
    tick_some(db, buckets, 1, true).await
}

async fn tick_some(
    db: &impl GenericClient,
    buckets: &[i32],
    most: i64,
    is_scheduled: bool,
) -> Result<Ticked> {
    let tick = db.prepare_cached(TICK).await?;
    let step_s = limit::CLOCK_STEP.as_secs_f64();
    let mut ticked = Ticked::default();
    for row in db.query(&tick, &[&buckets, &most, &step_s, &is_scheduled]).await? {
        if row.get("paused") {
            ticked.paused.push(row.get("mesh"));
            continue;
        }
        ticked.heads.push(head(&row));
        ticked.late.push(duration(row.get("late_s")));
    }
    let by_itself = || Event::ClockPaused { by_itself: Some(true) };
    let note =
        |mesh: &i64| Note { mesh: *mesh, actor: Actor::System, event: by_itself(), at: None };
    audit::add_all(db, &ticked.paused.iter().map(note).collect::<Vec<_>>()).await?;
    Ok(ticked)
}

/// Stops the clocks of those of these meshes that nobody is in; returns which.
pub async fn pause_empty(db: &impl GenericClient, meshes: &[i64]) -> Result<Vec<i64>> {
    let pause = db.prepare_cached(PAUSE_EMPTY).await?;
    let payload = Event::ClockPaused { by_itself: Some(true) }.payload();
    let rows = db.query(&pause, &[&meshes, &payload]).await?;
    Ok(rows.iter().map(|row| row.get("mesh")).collect())
}

/// Tells the nodes that have sessions of their meshes how far clocks have come: after the commit, on
/// a connection whose commits do not wait for the disk.
pub async fn announce(db: &impl GenericClient, heads: &[Head]) -> Result<()> {
    if heads.is_empty() {
        return Ok(());
    }
    let meshes: Vec<i64> = heads.iter().map(|head| head.m).collect();
    let mut of_node: HashMap<i32, Vec<Head>> = HashMap::new();
    for (mesh, node) in tell::log_nodes(db, &meshes).await? {
        let its = heads.iter().filter(|head| head.m == mesh);
        of_node.entry(node).or_default().extend(its);
    }
    let (mut channels, mut payloads) = (Vec::new(), Vec::new());
    for (node, heads) in of_node {
        for heads in heads.chunks(HEADS_MAX) {
            channels.push(nodes::channel(node));
            payloads.push(json!({"k": "ticks", "l": heads}).to_string());
        }
    }
    let notify = db.prepare_cached(NOTIFY).await?;
    db.execute(&notify, &[&channels, &payloads]).await?;
    Ok(())
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn head(row: &Row) -> Head {
    let base: Timestamp = row.get("sim_base");
    let (m, t, s) = (row.get("mesh"), row.get("tick"), row.get("speed"));
    Head { m, t, b: base.as_millisecond(), s }
}

fn status(row: &Row) -> ClockStatus {
    let tick = row.get("tick");
    ClockStatus {
        speed: row.get("speed"),
        paused: row.get("paused"),
        tick,
        sim_time: iso(sim_time(row.get("sim_base"), tick)),
        started_at: iso(row.get("started_at")),
    }
}

/// What a clock shows after so many ticks. It stops at the end of all time.
fn sim_time(base: Timestamp, tick: i64) -> Timestamp {
    let step_s = limit::CLOCK_STEP.as_secs().cast_signed();
    let passed = SignedDuration::from_secs(tick.saturating_mul(step_s));
    base.saturating_add(passed).unwrap_or(Timestamp::MAX)
}
