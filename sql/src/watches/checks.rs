//! Checks: which are due, and writing what they found.

use std::time::Duration;

use skein_wire::{
    limit,
    push::Kept,
    watches::{self, Failing, Mode, NotifyOn, Triggered},
};
use tokio_postgres::{Row, error::SqlState};
use tracing::debug;

use super::events;
use crate::{GenericClient, statement::statements, tell::Committed};

statements! {
    // Bucket by bucket, each by its index, so that what is not due is not read. What is in hand is
    // left out, and so is who has as many in hand as a member may. Where there is no room for all,
    // those come first whose member has the fewest in hand.
    DUE = "
        with held as materialized (
            select * from unnest($4::bigint[], $5::text[], $6::bigint[]) as t(mesh, id, member)),
        shares as materialized (
            select member, count(*) as n from held group by member)
        select w.mesh, w.id, w.member, w.display_name, w.url, w.mode, w.extract, w.interval_s,
               w.notify_on, w.headers, w.label, w.group_path, w.check_no, w.value, w.hash,
               w.failures, w.etag, w.last_modified,
               extract(epoch from w.next_at - clock_timestamp())::float8 as wait_s
          from (select c.*, coalesce(s.n, 0)
                            + row_number() over (partition by c.member order by c.next_at) as turn
                  from unnest($1::integer[]) as b(bucket)
                  cross join lateral (
                       select w.*, m.display_name
                         from watch w
                         join member m on m.mailbox = w.member and m.revoked_at is null
                         join mesh h on h.no = w.mesh and h.archived_at is null
                        where w.bucket = b.bucket and w.next_at <= now() + make_interval(secs => $2)
                          and (w.mesh, w.id) not in (select mesh, id from held)
                          and w.member not in (select member from shares where n >= $7)
                        order by w.bucket, w.next_at
                        limit $3) c
                  left join shares s on s.member = c.member) w
         where w.turn <= $7
         order by w.turn, w.next_at
         limit $3";

    NEXT = "
        select extract(epoch from min(w.next_at) - clock_timestamp())::float8 as wait_s
          from unnest($1::integer[]) as b(bucket)
          cross join lateral (
               select next_at
                 from watch
                where bucket = b.bucket and next_at > now() + make_interval(secs => $2)
                order by bucket, next_at
                limit 1) w";

    // The next slot is at least half a wait away: a check that was late, or took long, is not
    // followed by the next at once. Rows are locked in one order: who lost a bucket may be writing
    // what somebody else writes. A check that was not made leaves what the last one saw.
    RECORD = "
        with t as materialized (
            select *
              from unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[],
                          $6::integer[], $7::text[], $8::integer[], $9::text[], $10::text[],
                          $11::float8[], $12::boolean[], $13::boolean[])
                   as t(mesh, id, check_no, value, hash, http_status, error, failures, etag,
                        last_modified, wait_s, is_made, says)),
        locked as materialized (
            select w.mesh, w.id
              from watch w
              join t on t.mesh = w.mesh and t.id = w.id
             order by w.mesh, w.id
               for no key update of w)
        update watch w
           set check_no = w.check_no + 1,
               checked_at = case when t.is_made then now() else w.checked_at end,
               value = coalesce(t.value, w.value), hash = coalesce(t.hash, w.hash),
               http_status = case when t.is_made then t.http_status else w.http_status end,
               error = case when t.says then t.error else w.error end, failures = t.failures,
               etag = t.etag, last_modified = t.last_modified,
               next_at = to_timestamp(
                   (floor((extract(epoch from now())::float8 + t.wait_s / 2) / t.wait_s - w.phase)
                    + 1 + w.phase) * t.wait_s)
          from t
          join locked l on l.mesh = t.mesh and l.id = t.id
         where w.mesh = t.mesh and w.id = t.id and w.check_no = t.check_no
        returning w.mesh, w.id";
}

/// What the same statements may succeed after, since somebody else was in the way.
const CONFLICTS: [SqlState; 2] =
    [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];

/// A watch that is to be looked at.
#[derive(Debug, Clone)]
pub struct Due {
    /// The mesh's number.
    pub mesh: i64,
    /// The watch.
    pub id: String,
    /// The mailbox of its member.
    pub member: i64,
    /// The member's name.
    pub created_by: String,
    /// What is looked at.
    pub url: String,
    /// What of it is compared.
    pub mode: Mode,
    /// The path into JSON.
    pub extract: Option<String>,
    /// Seconds from one check to the next.
    pub interval_s: i32,
    /// Which values are told.
    pub notify_on: String,
    /// The headers, sealed with the deployment key.
    pub headers: Option<String>,
    /// What it is called.
    pub label: Option<String>,
    /// The path of the group that is told too.
    pub group: Option<String>,
    /// The number of the check that is to be made.
    pub check_no: i64,
    /// The last value and its hash.
    pub last: Option<(String, String)>,
    /// How many checks failed in a row.
    pub failures: i32,
    /// What the server said of its last answer.
    pub etag: Option<String>,
    /// What the server said of its last answer.
    pub last_modified: Option<String>,
    /// How long until then; nothing when it is late.
    pub wait: Duration,
    /// By how much it is late.
    pub late: Duration,
}

/// What a check saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The HTTP status.
    pub status: u16,
    /// The value and its hash; `None`: it is as it was.
    pub value: Option<(String, String)>,
    /// For the next check.
    pub etag: Option<String>,
    /// For the next check.
    pub last_modified: Option<String>,
}

/// Why a check saw nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// For whoever made the watch; `None`: the list says what it said before.
    pub why: Option<String>,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// It was not made, for a reason of our own: not a failure of what is looked at.
    pub is_ours: bool,
}

/// A check, and what came of it.
#[derive(Debug, Clone)]
pub struct Check {
    /// The watch as it was read.
    pub due: Due,
    /// What was seen, or why nothing was.
    pub outcome: Result<Seen, Failed>,
}

/// A watch that somebody has in hand.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// The mesh's number.
    pub mesh: i64,
    /// The watch.
    pub id: &'a str,
    /// The mailbox of its member.
    pub member: i64,
}

/// The watches of these buckets that are due within `ahead`, at most `n`: none that is held, and of
/// no member more than it may have in hand with those that are. Where `n` is not enough, those come
/// first whose member has the fewest in hand.
pub async fn due(
    db: &impl GenericClient,
    buckets: &[i32],
    ahead: Duration,
    n: i64,
    held: &[Held<'_>],
) -> crate::Result<Vec<Due>> {
    let due = db.prepare_cached(DUE).await?;
    let meshes: Vec<i64> = held.iter().map(|held| held.mesh).collect();
    let ids: Vec<&str> = held.iter().map(|held| held.id).collect();
    let members: Vec<i64> = held.iter().map(|held| held.member).collect();
    let share = limit::WATCHES_IN_HAND_PER_MEMBER_MAX;
    let ahead = ahead.as_secs_f64();
    let rows = db.query(&due, &[&buckets, &ahead, &n, &meshes, &ids, &members, &share]).await?;
    Ok(rows.iter().map(of_row).collect())
}

/// How long until the first watch of these buckets is due that is not within `ahead`.
pub async fn next_in(
    db: &impl GenericClient,
    buckets: &[i32],
    ahead: Duration,
) -> crate::Result<Option<Duration>> {
    let next = db.prepare_cached(NEXT).await?;
    let row = db.query_one(&next, &[&buckets, &ahead.as_secs_f64()]).await?;
    Ok(row.get::<_, Option<f64>>("wait_s").map(|wait| Duration::from_secs_f64(wait.max(0.0))))
}

/// Writes what checks found, and stores what is told of it, in one transaction on a connection
/// that is in none; returns what was stored, to be told now. Results of checks that somebody else
/// has written are left out. Where another transaction is in the way, it is done once more.
///
/// # Errors
/// When a statement failed: the transaction may be open, so the connection is not used again.
pub async fn record(db: &impl GenericClient, results: &[Check]) -> crate::Result<Vec<Committed>> {
    match write_and_tell(db, results).await {
        Err(error) if error.state().is_some_and(|state| CONFLICTS.contains(state)) => {
            debug!(%error, "results of watches are written again");
            db.batch_execute("rollback").await?;
            write_and_tell(db, results).await
        }
        written => written,
    }
}

async fn write_and_tell(
    db: &impl GenericClient,
    results: &[Check],
) -> crate::Result<Vec<Committed>> {
    if results.is_empty() {
        return Ok(Vec::new());
    }
    let events: Vec<Vec<Kept>> = results.iter().map(events_of).collect();
    if events.iter().all(Vec::is_empty) {
        write(db, results).await?;
        return Ok(Vec::new());
    }
    db.batch_execute("begin").await?;
    let written = write(db, results).await?;
    let is_ours = |due: &Due| written.iter().any(|(mesh, id)| (*mesh, id) == (due.mesh, &due.id));
    let told: Vec<(&Due, &Kept)> = results
        .iter()
        .zip(&events)
        .filter(|(result, _)| is_ours(&result.due))
        .flat_map(|(result, events)| events.iter().map(|event| (&result.due, event)))
        .collect();
    let told = events::store(db, &told).await?;
    db.batch_execute("commit").await?;
    Ok(told)
}

/// Returns whose results were written.
async fn write(db: &impl GenericClient, results: &[Check]) -> crate::Result<Vec<(i64, String)>> {
    let record = db.prepare_cached(RECORD).await?;
    let due = || results.iter().map(|r| &r.due);
    let seen = || results.iter().map(|r| r.outcome.as_ref().ok());
    let value = || seen().map(|seen| seen.and_then(|seen| seen.value.as_ref()));
    // After a failure the validators are kept with the value that they are of.
    let etag = |r: &Check| r.outcome.as_ref().map_or(&r.due.etag, |seen| &seen.etag).clone();
    let modified = |r: &Check| {
        let kept = &r.due.last_modified;
        r.outcome.as_ref().map_or(kept, |seen| &seen.last_modified).clone()
    };
    let meshes: Vec<i64> = due().map(|due| due.mesh).collect();
    let ids: Vec<&str> = due().map(|due| due.id.as_str()).collect();
    let check_nos: Vec<i64> = due().map(|due| due.check_no).collect();
    let values: Vec<Option<&str>> = value().map(|v| v.map(|v| v.0.as_str())).collect();
    let hashes: Vec<Option<&str>> = value().map(|v| v.map(|v| v.1.as_str())).collect();
    let statuses: Vec<Option<i32>> = results.iter().map(status).collect();
    let failed = || results.iter().map(|r| r.outcome.as_ref().err());
    let errors: Vec<Option<&str>> =
        failed().map(|failed| failed.and_then(|failed| failed.why.as_deref())).collect();
    let is_made: Vec<bool> = failed().map(|f| f.is_none_or(|failed| !failed.is_ours)).collect();
    let says: Vec<bool> = failed().map(|f| f.is_none_or(|failed| failed.why.is_some())).collect();
    let failures: Vec<i32> = results.iter().map(failures).collect();
    let etags: Vec<Option<String>> = results.iter().map(etag).collect();
    let modified: Vec<Option<String>> = results.iter().map(modified).collect();
    let waits: Vec<f64> = results.iter().map(|r| wait(r).as_secs_f64()).collect();
    let rows = db
        .query(
            &record,
            &[
                &meshes, &ids, &check_nos, &values, &hashes, &statuses, &errors, &failures, &etags,
                &modified, &waits, &is_made, &says,
            ],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get("mesh"), row.get("id"))).collect())
}

fn status(result: &Check) -> Option<i32> {
    let status = match &result.outcome {
        Ok(seen) => Some(seen.status),
        Err(failed) => failed.status,
    };
    status.map(i32::from)
}

/// How many checks have failed in a row with this one.
fn failures(result: &Check) -> i32 {
    match &result.outcome {
        Ok(_) => 0,
        Err(failed) if failed.is_ours => result.due.failures,
        Err(_) => result.due.failures.saturating_add(1),
    }
}

/// From this check to the next: the interval, doubled with every failure up to a limit; little
/// where none was made.
fn wait(result: &Check) -> Duration {
    let interval = Duration::from_secs(result.due.interval_s.unsigned_abs().into());
    if matches!(&result.outcome, Err(failed) if failed.is_ours) {
        return interval.min(limit::WATCH_BUSY_AGAIN);
    }
    let doublings = failures(result).clamp(0, 16);
    let longest = limit::WATCH_BACK_OFF_MAX.max(interval);
    interval.saturating_mul(1 << doublings).min(longest)
}

/// What is told of a check.
fn events_of(result: &Check) -> Vec<Kept> {
    let due = &result.due;
    let how = |error: Option<String>, failures: i32| Failing {
        watch_id: due.id.clone(),
        url: due.url.clone(),
        label: due.label.clone(),
        created_by: Some(due.created_by.clone()),
        error,
        failures: failures.unsigned_abs(),
    };
    let seen = match &result.outcome {
        Err(failed) => {
            let is_told = !failed.is_ours && failures(result) == limit::WATCH_FAILURES_TOLD;
            let failing = || how(failed.why.clone(), failures(result));
            return is_told.then(|| Kept::new(watches::FAILING, failing())).into_iter().collect();
        }
        Ok(seen) => seen,
    };
    let mut events = Vec::new();
    if due.failures >= limit::WATCH_FAILURES_TOLD {
        events.push(Kept::new(watches::RECOVERED, how(None, due.failures)));
    }
    // The first value is the baseline.
    if let (Some(old), Some(new)) = (&due.last, &seen.value)
        && NotifyOn::parse(&due.notify_on)
            .is_some_and(|on| on.tells(old.1 != new.1, &old.0, &new.0))
    {
        let triggered = Triggered {
            watch_id: due.id.clone(),
            url: due.url.clone(),
            label: due.label.clone(),
            created_by: Some(due.created_by.clone()),
            mode: due.mode,
            old_value: old.0.clone(),
            new_value: new.0.clone(),
        };
        events.push(Kept::new(watches::TRIGGERED, triggered));
    }
    events
}

fn of_row(row: &Row) -> Due {
    let wait_s: f64 = row.get("wait_s");
    let value: Option<String> = row.get("value");
    Due {
        mesh: row.get("mesh"),
        id: row.get("id"),
        member: row.get("member"),
        created_by: row.get("display_name"),
        url: row.get("url"),
        mode: super::mode(row),
        extract: row.get("extract"),
        interval_s: row.get("interval_s"),
        notify_on: row.get("notify_on"),
        headers: row.get("headers"),
        label: row.get("label"),
        group: row.get("group_path"),
        check_no: row.get("check_no"),
        last: value.zip(row.get("hash")),
        failures: row.get("failures"),
        etag: row.get("etag"),
        last_modified: row.get("last_modified"),
        wait: Duration::from_secs_f64(wait_s.max(0.0)),
        late: Duration::from_secs_f64((-wait_s).max(0.0)),
    }
}
