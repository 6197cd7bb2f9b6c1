//! Messages in the audit log, found by their rows: what stores them says nothing here and waits for
//! nothing.
//!
//! A row of `message` has the number that it took (`seq`) and the transaction that stored it
//! (`xid`). Numbers are not in the order of commits, so nothing is read "above the last number".
//! Instead a **cut** is made: every transaction before it (`pg_snapshot_xmin`) is over, and all that
//! it stored is visible from then on. A cut is worked off in steps; a row belongs to it when its
//! transaction lies between the cut before and this one, and so to exactly one cut.
//!
//! There is no index by transaction, since one would cost every send. The rows of a cut are found
//! by number: whoever stores takes the transaction's id before it takes numbers, so a transaction
//! with an id above one of ours took its numbers after we took our id, and they are above the one
//! that we had read before. That pair is a **mark**; with every cut one is taken, and it becomes the
//! lower bound of the next cut but one.
//!
//! Messages of one sender, target and priority that a step finds of one minute are one note with a
//! count. The step and what it notes are one transaction: none is noted twice or left out.

use std::time::Duration;

use jiff::Timestamp;
use skein_wire::{audit::Event, webhooks};
use tokio_postgres::Row;

use super::{Actor, Note, add_all};
use crate::{GenericClient, Result, statement::statements};

statements! {
    // Asked before the place is locked, which takes our transaction's id.
    LOOK = "
        select l.seq,
               p.seq_at < p.seq_end
               or p.low_seq < l.seq and p.mark_at <= now() - make_interval(secs => $1)
                  and p.cut < pg_snapshot_xmin(pg_current_snapshot()) as is_due
          from audit_place p,
               (select case when is_called then last_value else 0 end as seq from message_seq) l";

    // Another may have been here since.
    LOCK = "
        select seq_at < seq_end as is_at_work,
               mark_at <= now() - make_interval(secs => $1) as is_due
          from audit_place
           for update skip locked";

    CUT = "
        update audit_place p
           set done = p.cut, cut = pg_snapshot_xmin(s), seq_at = p.low_seq, since = p.low_at,
               seq_end = (select case when is_called then last_value else 0 end from message_seq),
               low_seq = case when p.mark < pg_snapshot_xmin(s) then p.mark_seq else p.low_seq end,
               low_at = case when p.mark < pg_snapshot_xmin(s) then p.mark_at else p.low_at end,
               mark = pg_current_xact_id(), mark_seq = $1, mark_at = now()
          from pg_current_snapshot() s";

    PLACE = "
        select done::text as done, cut::text as cut, seq_at, least(seq_at + $1, seq_end) as seq_to,
               seq_end, since - interval '1 h' as since
          from audit_place";

    FOUND = "
        select f.mesh, coalesce(s.member, w.mailbox) as member,
               coalesce(s.display_name, w.display_name) as display_name, f.target, f.priority,
               f.n, f.at
          from (select mesh, sender, target, priority, count(*) as n, min(at) as at
                  from message
                 where seq > $1 and seq <= $2 and at >= $5
                   and xid >= $3::text::xid8 and xid < $4::text::xid8
                 group by mesh, sender, target, priority, date_trunc('minute', at)) f
          left join session s on s.mailbox = f.sender and s.mesh = f.mesh
          left join member w on w.mailbox = f.sender and w.mesh = f.mesh
         order by f.at";

    STEP = "
        update audit_place
           set seq_at = $1";

    // Nothing came since the last cut, and that is worked off: everything is audited.
    BEHIND = "
        select case when seq_at >= seq_end
                     and low_seq >= (select case when is_called then last_value else 0 end
                                        from message_seq)
                    then now() else since - interval '1 h' end as at
          from audit_place";
}

/// Numbers that one step looks through: some 20 ms.
const STEP_MAX: i64 = 20_000;

/// How far a step came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more of this cut.
    More,
    /// The cut is done.
    Done,
    /// There was nothing to do, or somebody else is doing it.
    Nothing,
}

/// Takes one step in the caller's transaction, in which nothing was done yet. A new cut is made
/// when the last is done, at least `pause` old, and numbers were taken since.
pub async fn step(db: &impl GenericClient, pause: Duration) -> Result<Step> {
    let Some(last) = look(db, pause).await? else { return Ok(Step::Nothing) };
    let lock = db.prepare_cached(LOCK).await?;
    let Some(locked) = db.query_opt(&lock, &[&pause.as_secs_f64()]).await? else {
        return Ok(Step::Nothing);
    };
    if !locked.get::<_, bool>("is_at_work") {
        if !locked.get::<_, bool>("is_due") {
            return Ok(Step::Nothing);
        }
        let cut = db.prepare_cached(CUT).await?;
        db.execute(&cut, &[&last]).await?;
    }
    let place = db.prepare_cached(PLACE).await?;
    let place = db.query_one(&place, &[&STEP_MAX]).await?;
    let (from, to): (i64, i64) = (place.get("seq_at"), place.get("seq_to"));
    let (done, cut): (&str, &str) = (place.get("done"), place.get("cut"));
    let found = db.prepare_cached(FOUND).await?;
    let since: Timestamp = place.get("since");
    let rows = db.query(&found, &[&from, &to, &done, &cut, &since]).await?;
    let notes: Vec<Note<'_>> = rows.iter().map(note).collect();
    add_all(db, &notes).await?;
    let step = db.prepare_cached(STEP).await?;
    db.execute(&step, &[&to]).await?;
    Ok(if to < place.get("seq_end") { Step::More } else { Step::Done })
}

/// The last number that was taken, if a step is due.
async fn look(db: &impl GenericClient, pause: Duration) -> Result<Option<i64>> {
    let look = db.prepare_cached(LOOK).await?;
    let row = db.query_one(&look, &[&pause.as_secs_f64()]).await?;
    Ok(row.get::<_, bool>("is_due").then(|| row.get("seq")))
}

/// As [`step`], in a transaction of its own, if there is anything to do. A connection on which it
/// failed is not used again.
pub async fn step_alone(db: &impl GenericClient, pause: Duration) -> Result<Step> {
    if look(db, pause).await?.is_none() {
        return Ok(Step::Nothing);
    }
    db.batch_execute("begin").await?;
    let step = step(db, pause).await?;
    db.batch_execute("commit").await?;
    Ok(step)
}

/// Until when everything that was stored is audited: a day of messages may go when it ended before.
pub async fn until(db: &impl GenericClient) -> Result<Timestamp> {
    let behind = db.prepare_cached(BEHIND).await?;
    Ok(db.query_one(&behind, &[]).await?.get("at"))
}

fn note(row: &Row) -> Note<'_> {
    let count: i64 = row.get("n");
    let member: Option<i64> = row.get("member");
    let actor =
        member.map_or(Actor::System, |member| Actor::Member(member, row.get("display_name")));
    Note {
        mesh: row.get("mesh"),
        actor,
        event: Event::MessageSent {
            target_spec: webhooks::shown(row.get("target")),
            priority: priority(row.get("priority")),
            count: (count > 1).then_some(count),
        },
        at: Some(row.get("at")),
    }
}

fn priority(no: i16) -> &'static str {
    match no {
        0 => "now",
        1 => "next",
        _ => "low",
    }
}
