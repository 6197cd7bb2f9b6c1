//! Partitions: `message` and `receipt` have one table per UTC day.
//!
//! They are made plain and then attached, days ahead, so that no reader waits; there is no default
//! partition, so whoever meets a missing day makes it ([`ensure`]). What is too old is detached and
//! dropped on a maintenance connection: DETACH CONCURRENTLY stands in no transaction, and one that
//! was interrupted blocks all later ones until it is finished. Before a day of messages goes, the
//! bodies that deliveries still name move to `message_held`, where readers look too.
//!
//! DDL takes no parameters: here alone is SQL made of text, of names and dates that we make.

use jiff::{ToSpan, civil::Date};
use tracing::{info, warn};

use crate::{GenericClient, Result, audit::sent, statement::statements};

statements! {
    TODAY = "
        select (now() at time zone 'utc')::date as today";

    ATTACHED = "
        select c.relname::text as name
          from pg_inherits i
          join pg_class c on c.oid = i.inhrelid
         where i.inhparent in ('message'::regclass, 'receipt'::regclass)
           and not i.inhdetachpending";

    PENDING = "
        select p.relname::text as parent, c.relname::text as name
          from pg_inherits i
          join pg_class c on c.oid = i.inhrelid
          join pg_class p on p.oid = i.inhparent
         where i.inhparent in ('message'::regclass, 'receipt'::regclass)
           and i.inhdetachpending";

    // Attached or not: one that was detached and not yet dropped is found here again.
    TABLES = "
        select c.relname::text as name
          from pg_class c
         where c.relnamespace = (select relnamespace from pg_class where oid = 'message'::regclass)
           and c.relkind = 'r'
           and c.relname ~ '^(message|receipt)_[0-9]{8}$'
         order by c.relname";

    HOLD = "
        with named as (
            select distinct seq
              from delivery
             where at >= $1 and at < $2 and seq > $3
             order by seq
             limit $4),
        moved as (
            insert into message_held (seq, mesh, message_id, sender, sender_key, target, priority,
                                      nonce, ciphertext, kind, subtype, at, xid)
            select m.seq, m.mesh, m.message_id, m.sender, m.sender_key, m.target, m.priority,
                   m.nonce, m.ciphertext, m.kind, m.subtype, m.at, m.xid
              from message m
              join named using (seq)
             where m.at >= $1 and m.at < $2
                on conflict (seq) do nothing
            returning seq)
        select max(named.seq) as last, (select count(*) from moved) as n_moved
          from named";

    DROP_UNNAMED = "
        delete from message_held
         where seq in (select h.seq
                         from message_held h
                        where h.seq > $1
                          and not exists (select from delivery d where d.seq = h.seq)
                        order by h.seq
                        limit $2)
        returning seq";

    TRY_LOCK = "
        select pg_try_advisory_lock($1) as is_ours";

    UNLOCK = "
        select pg_advisory_unlock($1)";
}

/// Days that are made ahead: a week without a worker loses nothing.
pub const DAYS_AHEAD: i32 = 7;
/// Whole days that messages are kept, for repeats of acknowledged sends and for `trace`.
pub const MESSAGE_DAYS: i32 = 2;
/// Whole days that receipts are kept.
pub const RECEIPT_DAYS: i32 = 1;

/// Held while a partition is made, by anybody: "parts" in ASCII.
const MAKING: i64 = 0x70_61_72_74_73;
/// Held by whoever drops, so that two workers do not detach the same day.
const DROPPING: i64 = MAKING + 1;
/// Bodies moved by one statement: at 1 MiB each it stays far below a second's writes.
const HOLD_MAX: i64 = 200;

/// A partitioned table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    Message,
    Receipt,
}

impl Parent {
    const ALL: [Self; 2] = [Self::Message, Self::Receipt];

    fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Receipt => "receipt",
        }
    }

    fn days_kept(self) -> i32 {
        match self {
            Self::Message => MESSAGE_DAYS,
            Self::Receipt => RECEIPT_DAYS,
        }
    }

    fn partition(self, day: Date) -> String {
        format!("{}_{}", self.name(), day.strftime("%Y%m%d"))
    }
}

/// What an upkeep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The partitions that are gone.
    pub tables: Vec<String>,
    /// The bodies that moved to `message_held`.
    pub n_held: i64,
}

/// The day now, by the database's clock, in UTC.
pub async fn today(db: &impl GenericClient) -> Result<Date> {
    let today = db.prepare_cached(TODAY).await?;
    Ok(db.query_one(&today, &[]).await?.get("today"))
}

/// Makes the partitions of this day, where they are missing. Any number may do so at once.
pub async fn ensure(db: &impl GenericClient, day: Date) -> Result<()> {
    ensure_days(db, day, 0).await
}

/// Makes the partitions of today and of `days` more, where they are missing.
pub async fn ensure_ahead(db: &impl GenericClient, days: i32) -> Result<()> {
    let today = today(db).await?;
    ensure_days(db, today, days).await
}

async fn ensure_days(db: &impl GenericClient, first: Date, more: i32) -> Result<()> {
    let attached = db.prepare_cached(ATTACHED).await?;
    let rows = db.query(&attached, &[]).await?;
    let attached: Vec<&str> = rows.iter().map(|row| row.get("name")).collect();
    for day in (0..=more).map(|n| first.saturating_add(n.days())) {
        for parent in Parent::ALL {
            if !attached.contains(&parent.partition(day).as_str()) {
                db.batch_execute(&make(parent, day)).await?;
            }
        }
    }
    Ok(())
}

/// One transaction: whoever comes second waits, and then finds it attached.
fn make(parent: Parent, day: Date) -> String {
    let (name, parent, next) = (parent.partition(day), parent.name(), day.saturating_add(1.day()));
    format!(
        "do $make$
         begin
             perform pg_advisory_xact_lock({MAKING});
             if exists (select from pg_inherits where inhrelid = to_regclass('{name}')) then
                 return;
             end if;
             create table if not exists {name}
                 (like {parent} including comments including constraints including defaults
                                including storage);
             alter table {parent} attach partition {name}
                 for values from ('{day} 00:00:00+00') to ('{next} 00:00:00+00');
         end
         $make$"
    )
}

/// Detaches and drops what is too old, after holding what is still needed. Safe to run twice, and
/// by two at once: the second does nothing.
///
/// `db` is a maintenance connection that is in no transaction: it may wait long.
pub async fn drop_old(db: &tokio_postgres::Client) -> Result<Dropped> {
    let is_ours: bool = db.query_one(TRY_LOCK, &[&DROPPING]).await?.get("is_ours");
    if !is_ours {
        return Ok(Dropped::default());
    }
    let dropped = drop_old_alone(db).await;
    db.execute(UNLOCK, &[&DROPPING]).await?;
    dropped
}

async fn drop_old_alone(db: &tokio_postgres::Client) -> Result<Dropped> {
    finalize(db).await?;
    let today = today(db).await?;
    let attached = names(db, ATTACHED).await?;
    let audited = sent::until(db).await?;
    let mut dropped = Dropped::default();
    for name in names(db, TABLES).await? {
        let Some((parent, day)) = read_name(&name) else { continue };
        if day >= today.saturating_sub(parent.days_kept().days()) {
            continue;
        }
        if attached.contains(&name) {
            if parent == Parent::Message {
                if midnight(day.saturating_add(1.day())) > audited {
                    warn!(table = name, "{name} stays: its messages are not audited yet");
                    continue;
                }
                dropped.n_held += hold(db, day).await?;
            }
            let parent = parent.name();
            db.batch_execute(&format!("alter table {parent} detach partition {name} concurrently"))
                .await?;
        }
        db.batch_execute(&format!("drop table {name}")).await?;
        info!(table = name, "dropped {name}");
        dropped.tables.push(name);
    }
    Ok(dropped)
}

/// Finishes what an interrupted detach left behind.
async fn finalize(db: &tokio_postgres::Client) -> Result<()> {
    for row in db.query(PENDING, &[]).await? {
        let (parent, name): (&str, &str) = (row.get("parent"), row.get("name"));
        db.batch_execute(&format!("alter table {parent} detach partition {name} finalize")).await?;
    }
    Ok(())
}

/// Copies the bodies of this day that deliveries still name, step by step. Copying again does no
/// harm, so an interrupted run is simply begun anew.
async fn hold(db: &impl GenericClient, day: Date) -> Result<i64> {
    let hold = db.prepare_cached(HOLD).await?;
    let (from, to) = (midnight(day), midnight(day.saturating_add(1.day())));
    let (mut after, mut n_held) = (0_i64, 0);
    loop {
        let row = db.query_one(&hold, &[&from, &to, &after, &HOLD_MAX]).await?;
        n_held += row.get::<_, i64>("n_moved");
        match row.get("last") {
            Some(last) => after = last,
            None => return Ok(n_held),
        }
    }
}

/// Deletes held bodies that no delivery names any more, and returns how many.
pub async fn drop_unnamed(db: &impl GenericClient) -> Result<u64> {
    let drop_unnamed = db.prepare_cached(DROP_UNNAMED).await?;
    let (mut after, mut n_dropped) = (0_i64, 0);
    loop {
        let rows = db.query(&drop_unnamed, &[&after, &HOLD_MAX]).await?;
        n_dropped += rows.len() as u64;
        match rows.iter().map(|row| row.get("seq")).max() {
            Some(last) => after = last,
            None => return Ok(n_dropped),
        }
    }
}

async fn names(db: &tokio_postgres::Client, list: &str) -> Result<Vec<String>> {
    Ok(db.query(list, &[]).await?.iter().map(|row| row.get("name")).collect())
}

fn read_name(name: &str) -> Option<(Parent, Date)> {
    let (parent, day) = name.split_once('_')?;
    let parent = Parent::ALL.into_iter().find(|known| known.name() == parent)?;
    Some((parent, Date::strptime("%Y%m%d", day).ok()?))
}

fn midnight(day: Date) -> jiff::Timestamp {
    day.to_zoned(jiff::tz::TimeZone::UTC).expect("days of ours are in range").timestamp()
}
