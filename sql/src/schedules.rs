//! Schedules of a mesh: messages that are sent later.
//!
//! A row holds the slot that is next, and when that is served (`serve_at`: the slot and its jitter).
//! Workers find what is due by an index over their buckets; a fire stores the messages, advances the
//! row and writes the log in one transaction ([`fire`]). What a member reads and changes is its own.

pub(crate) mod change;
pub(crate) mod fire;
pub(crate) mod log;
mod slots;

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use skein_crypto::plain;
use skein_wire::{
    Priority, cron, limit,
    schedules::{Clock, Fire, Missed, Outcome, Overlap, Scheduled, State},
};
use tokio_postgres::Row;
use uuid::Uuid;

pub use change::{cancel, pause, resume, run};
pub use fire::{Due, Failure, Fired, fire};
pub use slots::serve_at;

use crate::{GenericClient, Result, iso, members, meshes, statement::statements};

statements! {
    CREATE = "
        insert into schedule (id, mesh, member, session, session_key, target, to_name, nonce, body,
                              sealed_to, subtype, priority, cron, tz, clock, missed, overlap,
                              jitter_s, slot, serve_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20)";

    NOW = "
        select now() as now";

    MEMBER = "
        select mailbox
          from member
         where mesh = $1 and pubkey = $2 and revoked_at is null";

    COUNT = "
        select count(*) as of_mesh, coalesce(sum(octet_length(s.body)), 0)::bigint as mesh_bytes,
               count(*) filter (where s.member = $2) as of_member,
               coalesce(sum(octet_length(s.body)) filter (where s.member = $2), 0)::bigint
                   as member_bytes
          from schedule s
          join member m on m.mailbox = s.member and m.revoked_at is null
         where s.mesh = $1 and s.state <> 'done'";

    LIST = "
        select s.id, s.target, s.to_name, s.nonce, s.body, s.sealed_to, s.subtype, s.priority,
               s.cron, s.tz, s.clock, s.missed, s.overlap, s.jitter_s, s.state, s.slot, s.serve_at,
               s.run_at, s.fired_count, s.created_at, m.display_name,
               f.slot as fire_slot, f.at as fire_at, f.late_ms, f.outcome, f.message_id, f.detail,
               s.n_all
          from (select *, count(*) over () as n_all,
                       sum(octet_length(body) + 500)
                           over (order by serve_at, created_at, id) as n_bytes
                  from schedule
                 where mesh = $1 and member = $2 and state in ('active', 'paused')) s
          join member m on m.mailbox = s.member
          left join schedule_fire f on f.schedule = s.id and f.n = s.n_logged
         where s.n_bytes <= $3
         order by s.serve_at, s.created_at, s.id";

    READ = "
        select s.id, s.target, s.to_name, s.nonce, s.body, s.sealed_to, s.subtype, s.priority,
               s.cron, s.tz, s.clock, s.missed, s.overlap, s.jitter_s, s.state, s.slot, s.serve_at,
               s.run_at, s.fired_count, s.created_at, m.display_name,
               f.slot as fire_slot, f.at as fire_at, f.late_ms, f.outcome, f.message_id, f.detail
          from schedule s
          join member m on m.mailbox = s.member
          left join schedule_fire f on f.schedule = s.id and f.n = s.n_logged
         where s.mesh = $1 and s.member = $2 and s.id = $3";

    FIRES = "
        select f.slot as fire_slot, f.at as fire_at, f.late_ms, f.outcome, f.message_id, f.detail
          from schedule s
          join schedule_fire f on f.schedule = s.id
         where s.mesh = $1 and s.member = $2 and s.id = $3
         order by f.n desc
         limit $4";

    NEXT = "
        select extract(epoch from min(d.due_at) - clock_timestamp())::float8 as due_in
          from unnest($1::integer[]) as b(bucket)
          cross join lateral (
               select due_at
                 from schedule
                where bucket = b.bucket and due_at is not null
                order by due_at
                limit 1) d";

    FORGET = "
        delete from schedule
         where id in (select id
                        from schedule
                       where done_at < now() - make_interval(secs => $2) and bucket = any($1)
                       order by done_at
                       limit $3
                         for update skip locked)";
}

/// Done schedules deleted by one statement.
const FORGOTTEN_MAX: i64 = 1000;
/// Such statements of one call.
const FORGETS_MAX: usize = 20;

/// A schedule to be made. What it says was checked.
#[derive(Debug, Clone)]
pub struct New<'a> {
    /// Its id.
    pub id: Uuid,
    /// The mailbox of the member that makes it.
    pub member: i64,
    /// The mailbox of the session that makes it, or of the member where there is none.
    pub session: i64,
    /// That session's key.
    pub session_key: &'a str,
    /// Whom it is for.
    pub target: &'a str,
    /// What the user wrote in place of the key.
    pub to_name: Option<&'a str>,
    /// As pushed.
    pub nonce: &'a str,
    /// As pushed.
    pub body: &'a str,
    /// The member key that the body is sealed to.
    pub sealed_to: Option<&'a str>,
    /// `reminder`, or nothing.
    pub subtype: Option<&'a str>,
    /// How urgent.
    pub priority: Priority,
    /// When, again and again.
    pub cron: Option<&'a str>,
    /// The time zone of `cron`.
    pub tz: Option<&'a str>,
    /// Which clock.
    pub clock: Clock,
    /// What happens to missed slots.
    pub missed: Missed,
    /// What happens while the last message is not delivered.
    pub overlap: Overlap,
    /// The largest jitter, in seconds.
    pub jitter_s: u32,
    /// The first slot.
    pub slot: Timestamp,
}

/// What became of a schedule to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is there.
    Made,
    /// The mesh has as many as it may.
    MeshFull,
    /// The member has as many as it may.
    MemberFull,
    /// The bodies of the mesh's would be larger than they may be.
    MeshBytes,
    /// The bodies of the member's would be larger than they may be.
    MemberBytes,
    /// It is no member any more.
    NoMember,
}

/// Has rows found by index on this connection, whatever the tables look like: they are empty one
/// moment and full the next.
pub async fn by_index(db: &impl GenericClient) -> Result<()> {
    Ok(db
        .batch_execute("set plan_cache_mode = force_generic_plan; set enable_seqscan = off")
        .await?)
}

/// What the database's clock shows.
pub async fn now(db: &impl GenericClient) -> Result<Timestamp> {
    let now = db.prepare_cached(NOW).await?;
    Ok(db.query_one(&now, &[]).await?.get("now"))
}

/// The mailbox of the member whose key this is.
pub async fn member_of(db: &impl GenericClient, mesh: i64, key: &str) -> Result<Option<i64>> {
    let member = db.prepare_cached(MEMBER).await?;
    Ok(db.query_opt(&member, &[&mesh, &key]).await?.map(|row| row.get("mailbox")))
}

/// Makes a schedule in the caller's transaction, unless there are too many.
pub async fn create(db: &impl GenericClient, mesh: i64, new: &New<'_>) -> Result<Created> {
    meshes::hold(db, mesh).await?;
    if !members::hold(db, new.member).await? {
        return Ok(Created::NoMember);
    }
    let count = db.prepare_cached(COUNT).await?;
    let counts = db.query_one(&count, &[&mesh, &new.member]).await?;
    let n_bytes = i64::try_from(new.body.len()).unwrap_or(i64::MAX);
    for (held, more, max, full) in [
        ("of_mesh", 1, limit::SCHEDULES_PER_MESH_MAX, Created::MeshFull),
        ("of_member", 1, limit::SCHEDULES_PER_MEMBER_MAX, Created::MemberFull),
        ("mesh_bytes", n_bytes, limit::SCHEDULE_BYTES_PER_MESH_MAX, Created::MeshBytes),
        ("member_bytes", n_bytes, limit::SCHEDULE_BYTES_PER_MEMBER_MAX, Created::MemberBytes),
    ] {
        if counts.get::<_, i64>(held).saturating_add(more) > max {
            return Ok(full);
        }
    }
    let create = db.prepare_cached(CREATE).await?;
    let jitter_s = i32::try_from(new.jitter_s).unwrap_or(i32::MAX);
    let serve_at = serve_at(new.id, new.slot, new.jitter_s);
    db.execute(
        &create,
        &[
            &new.id,
            &mesh,
            &new.member,
            &new.session,
            &new.session_key,
            &new.target,
            &new.to_name,
            &new.nonce,
            &new.body,
            &new.sealed_to,
            &new.subtype,
            &number(new.priority),
            &new.cron,
            &new.tz,
            &new.clock.as_str(),
            &new.missed.as_str(),
            &new.overlap.as_str(),
            &jitter_s,
            &new.slot,
            &serve_at,
        ],
    )
    .await?;
    Ok(Created::Made)
}

/// The schedules of a member that are not done, the next first, as many as one answer holds; and
/// how many there are.
pub async fn list(
    db: &impl GenericClient,
    mesh: i64,
    member: i64,
) -> Result<(Vec<Scheduled>, usize)> {
    let list = db.prepare_cached(LIST).await?;
    let n_bytes = i64::try_from(limit::LIST_BYTES_MAX).unwrap_or(i64::MAX);
    let rows = db.query(&list, &[&mesh, &member, &n_bytes]).await?;
    // One body alone fits: where there are any, there is a row.
    let n_all = rows.first().map_or(0, |row| row.get::<_, i64>("n_all"));
    Ok((rows.iter().map(scheduled).collect(), usize::try_from(n_all).unwrap_or_default()))
}

/// A schedule of a member, also one that is done.
pub async fn read(
    db: &impl GenericClient,
    mesh: i64,
    member: i64,
    id: Uuid,
) -> Result<Option<Scheduled>> {
    let read = db.prepare_cached(READ).await?;
    Ok(db.query_opt(&read, &[&mesh, &member, &id]).await?.as_ref().map(scheduled))
}

/// What came of the last slots of a schedule, newest first.
pub async fn fires(db: &impl GenericClient, mesh: i64, member: i64, id: Uuid) -> Result<Vec<Fire>> {
    let fires = db.prepare_cached(FIRES).await?;
    let rows = db.query(&fires, &[&mesh, &member, &id, &limit::SCHEDULE_FIRES_KEPT]).await?;
    Ok(rows.iter().filter_map(fired).collect())
}

/// How long nothing is due in these buckets; `None`: nothing waits.
pub async fn next(db: &impl GenericClient, buckets: &[i32]) -> Result<Option<Duration>> {
    let next = db.prepare_cached(NEXT).await?;
    let due_in: Option<f64> = db.query_one(&next, &[&buckets]).await?.get("due_in");
    Ok(due_in.map(|s| Duration::try_from_secs_f64(s.max(0.0)).unwrap_or(Duration::MAX)))
}

/// Deletes schedules of these buckets that have been done for so long; returns how many.
pub async fn forget(db: &impl GenericClient, buckets: &[i32], age: Duration) -> Result<u64> {
    let forget = db.prepare_cached(FORGET).await?;
    let mut n_forgotten = 0;
    for _ in 0..FORGETS_MAX {
        let n = db.execute(&forget, &[&buckets, &age.as_secs_f64(), &FORGOTTEN_MAX]).await?;
        n_forgotten += n;
        if n < FORGOTTEN_MAX.unsigned_abs() {
            break;
        }
    }
    Ok(n_forgotten)
}

/// The zone of a row: UTC where it has none, or one that is not known here any more.
fn zone(name: Option<&str>) -> TimeZone {
    name.and_then(cron::zone).unwrap_or(TimeZone::UTC)
}

/// What the log says of slots that were left out together.
fn since(first: Timestamp) -> String {
    format!("since {}", iso(first))
}

fn number(priority: Priority) -> i16 {
    match priority {
        Priority::Now => 0,
        Priority::Next => 1,
        Priority::Low => 2,
    }
}

fn scheduled(row: &Row) -> Scheduled {
    let state = State::parse(row.get("state")).unwrap_or(State::Done);
    let sealed_to: Option<String> = row.get("sealed_to");
    let is_sealed = sealed_to.is_some();
    let body: String = row.get("body");
    let serve_at: Timestamp = row.get("serve_at");
    let run_at: Option<Timestamp> = row.get("run_at");
    let next_fire = match state {
        State::Active => Some(run_at.map_or(serve_at, |run_at| run_at.min(serve_at))),
        State::Paused => run_at,
        State::Done => None,
    };
    Scheduled {
        id: row.get::<_, Uuid>("id").to_string(),
        to: row.get("target"),
        message: if is_sealed { String::new() } else { plain::decode(&body).unwrap_or_default() },
        deliver_at: serve_at.as_millisecond(),
        created_at: row.get::<_, Timestamp>("created_at").as_millisecond(),
        cron: row.get("cron"),
        fired_count: Some(row.get("fired_count")),
        to_name: row.get("to_name"),
        sealed: is_sealed.then_some(true),
        nonce: is_sealed.then(|| row.get("nonce")),
        ciphertext: is_sealed.then_some(body),
        sealed_to,
        state: Some(state),
        priority: Some(match row.get("priority") {
            0i16 => Priority::Now,
            1 => Priority::Next,
            _ => Priority::Low,
        }),
        subtype: row.get("subtype"),
        tz: row.get("tz"),
        clock: Clock::parse(row.get("clock")),
        missed: Missed::parse(row.get("missed")),
        overlap: Overlap::parse(row.get("overlap")),
        jitter_seconds: u32::try_from(row.get::<_, i32>("jitter_s")).ok(),
        next_fire: next_fire.map(Timestamp::as_millisecond),
        last_fire: fired(row),
        created_by: row.get("display_name"),
    }
}

fn fired(row: &Row) -> Option<Fire> {
    Some(Fire {
        slot: row.get::<_, Option<Timestamp>>("fire_slot")?.as_millisecond(),
        at: row.get::<_, Timestamp>("fire_at").as_millisecond(),
        lateness_ms: row.get("late_ms"),
        outcome: Outcome::parse(row.get("outcome"))?,
        message_id: row.get::<_, Option<Uuid>>("message_id").map(|id| id.simple().to_string()),
        detail: row.get("detail"),
    })
}
