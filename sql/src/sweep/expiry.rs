//! What was waited for long enough: mail, sessions, statuses.

use std::time::Duration;

use super::secs;
use crate::{GenericClient, Result, duties, statement::statements};

statements! {
    // Numbers are given in the order of arrival, so the oldest rows have the lowest: no index on
    // `at` is needed, and a step that finds nothing has read one step's rows.
    EXPIRE = "
        with oldest as materialized (
            select seq, recipient
              from delivery
             order by seq, recipient
             limit $2),
        due as (
            select d.seq, d.recipient
              from oldest
              join delivery d using (seq, recipient)
             where d.at < now() - make_interval(secs => $1)
               for update of d skip locked),
        gone as (
            delete from delivery d
             using due
             where d.seq = due.seq and d.recipient = due.recipient
            returning d.seq, d.recipient)
        insert into receipt (seqs, recipients, seq_min, seq_max, outcome, at)
        select array_agg(seq), array_agg(recipient), min(seq), max(seq), 1, now()
          from gone
        having count(*) > 0
        returning cardinality(seqs)::bigint as n_expired";

    // The row is locked, so a hello of that key waits and then finds none, or is not waited for.
    FORGET = "
        with old as (
            select s.mailbox
              from session s
             where s.seen_at < now() - make_interval(secs => $3)
               and (s.mesh % $2::integer)::integer = any($1)
               and not exists (select from presence p where p.session = s.mailbox)
               -- The address of an API key is never somebody else's.
               and not exists (select from api_key k where k.mesh = s.mesh and k.pubkey = s.key)
             order by s.seen_at
             limit $4
               for update skip locked),
        dropped as (
            delete from delivery d
             using old
             where d.recipient = old.mailbox
            returning d.seq, d.recipient),
        told as (
            insert into receipt (seqs, recipients, seq_min, seq_max, outcome, at)
            select array_agg(seq), array_agg(recipient), min(seq), max(seq), 2, now()
              from dropped
            having count(*) > 0),
        gone as (
            delete from session s
             using old
             where s.mailbox = old.mailbox
            returning s.mailbox)
        select count(*) as n_gone from gone";

    LAPSE = "
        with lapsed as (
            update session
               set status = 'idle', status_source = 'jsonl', status_at = now()
             where status = 'working' and status_source = 'hook'
               and status_at < now() - make_interval(secs => $3)
               and (mesh % $2::integer)::integer = any($1)
            returning mailbox)
        select l.mailbox, p.node,
               case when p.node is not null
                    then pg_notify('node_' || p.node,
                                   json_build_object('k', 'status', 'session', l.mailbox)::text)
               end as told
          from lapsed l
          left join presence p on p.session = l.mailbox";
}

/// Deliveries that one step expires.
const DELIVERIES_MAX: i64 = 5_000;
/// Sessions that one step forgets, each with at most a full mailbox.
const SESSIONS_MAX: i64 = 20;
/// Steps of one call.
const STEPS_MAX: usize = 20;

/// Expires deliveries of at least this `age`, into receipts, and returns how many.
pub async fn expire(db: &impl GenericClient, age: Duration) -> Result<i64> {
    let expire = db.prepare_cached(EXPIRE).await?;
    let mut n_total = 0;
    for _ in 0..STEPS_MAX {
        match db.query_opt(&expire, &[&secs(age), &DELIVERIES_MAX]).await? {
            Some(row) => n_total += row.get::<_, i64>("n_expired"),
            None => break,
        }
    }
    Ok(n_total)
}

/// Forgets the sessions of these buckets that are not attached and were not seen for `age`, and
/// returns how many. What waited for them is dropped, into receipts.
pub async fn forget(db: &impl GenericClient, buckets: &[i32], age: Duration) -> Result<i64> {
    let forget = db.prepare_cached(FORGET).await?;
    let mut n_total = 0;
    for _ in 0..STEPS_MAX {
        let parameters = (secs(age), SESSIONS_MAX);
        let row = db
            .query_one(&forget, &[&buckets, &duties::BUCKETS, &parameters.0, &parameters.1])
            .await?;
        let n_gone: i64 = row.get("n_gone");
        n_total += n_gone;
        if n_gone == 0 {
            break;
        }
    }
    Ok(n_total)
}

/// Ends the `working` of hooks in these buckets that neither a hook nor a frame renewed for `age`,
/// tells the nodes, and returns the sessions.
pub async fn lapse(db: &impl GenericClient, buckets: &[i32], age: Duration) -> Result<Vec<i64>> {
    let lapse = db.prepare_cached(LAPSE).await?;
    let rows = db.query(&lapse, &[&buckets, &duties::BUCKETS, &secs(age)]).await?;
    Ok(rows.iter().map(|row| row.get("mailbox")).collect())
}
