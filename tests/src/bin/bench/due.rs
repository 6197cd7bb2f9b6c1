//! Schedules: how soon many that are due in one second are stored for their recipients, and how late
//! one that is set a moment ahead arrives.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use skein::home::Home;
use skein_crypto::Keypair;
use skein_openapi::members::Role;
use skein_sql::duties::{self, Kind};
use skein_sql::{Connector, Settings, members};
use skein_tests::peer::{Caps, Identity, Listener, Log, What};
use tokio::time::sleep;
use tokio_postgres::Client;

use super::tenants::{self, Error};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// From the writing of the rows to their second, so that both workers know of it.
const AHEAD_S: f64 = 5.0;
/// How far ahead one alone is set.
const SET_AHEAD_MS: i64 = 200;
/// How many of those are measured, one after the other, after some that are not.
const SAMPLES: usize = 200;
const WARM: usize = 10;

/// From the first member of a mesh to the second, in turn over all of them.
const FILL: &str = "
    with pair as materialized (
        select row_number() over (order by a.mesh) as n, a.mesh, a.mailbox, a.pubkey, b.pubkey as to
          from member a
          join member b on b.mesh = a.mesh and b.mailbox > a.mailbox
         where a.id like 'bench-%')
    insert into schedule (id, mesh, member, session, session_key, target, nonce, body, priority,
                          clock, missed, overlap, jitter_s, slot, serve_at)
    select gen_random_uuid(), p.mesh, p.mailbox, p.mailbox, p.pubkey, p.to, '',
           encode(convert_to(repeat(md5(i::text), 6), 'UTF8'), 'base64'), 1, 'real', 'once', 'allow',
           0, $2, $2
      from generate_series(0, $1::int - 1) i
      join pair p on p.n = 1 + i % (select count(*) from pair)";

const DUE_AT: &str = "
    select date_trunc('second', clock_timestamp()) + make_interval(secs => $1) as due_at";

const STORED: &str = "
    select (select count(*) from schedule where state = 'done') as n,
           extract(epoch from clock_timestamp() - $1::timestamptz)::float8 * 1000 as ms";

/// How many buckets of schedules each worker has.
const SHARES: &str = "
    select count(*) from pg_locks
     where locktype = 'advisory' and classid::bigint = $1 and objid < 64 and granted
       and database = (select oid from pg_database where datname = current_database())
     group by pid
     order by 1";

/// Milliseconds from the second in which so many schedules are due until all are stored.
pub fn stored(url: &str, count: i32) -> Result<f64, String> {
    tenants::block_on(store(url, count))
}

async fn store(url: &str, count: i32) -> Result<f64, Error> {
    let db = tenants::make(url).await?;
    await_shares(&db).await?;
    let due_at: Timestamp = db.query_one(DUE_AT, &[&AHEAD_S]).await?.get("due_at");
    db.execute(FILL, &[&count, &due_at]).await?;
    db.batch_execute("analyze schedule").await?;
    duties::wake(&db, Kind::Schedule).await?;
    let since = Instant::now();
    loop {
        let row = db.query_one(STORED, &[&due_at]).await?;
        if row.get::<_, i64>("n") == i64::from(count) {
            check(&db, count).await?;
            return Ok(row.get("ms"));
        }
        if since.elapsed() > PATIENCE {
            return Err(format!("{} of {count} fired", row.get::<_, i64>("n")).into());
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Two workers must have half of the buckets each: one alone would be another figure.
async fn await_shares(db: &Client) -> Result<(), Error> {
    let since = Instant::now();
    let class = i64::from(Kind::Schedule.class());
    loop {
        let rows = db.query(SHARES, &[&class]).await?;
        let shares: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        if shares == [32, 32] {
            return Ok(());
        }
        if since.elapsed() > PATIENCE {
            return Err(format!("the workers have {shares:?} buckets").into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Each is stored once, for somebody.
async fn check(db: &Client, count: i32) -> Result<(), Error> {
    let stored = "select count(distinct message_id) as n, count(*) as n_rows from message";
    let row = db.query_one(stored, &[]).await?;
    let deliveries: i64 = db.query_one("select count(*) from delivery", &[]).await?.get(0);
    let counts = [row.get("n"), row.get("n_rows"), deliveries];
    if counts != [i64::from(count); 3] {
        return Err(format!("{counts:?} messages, rows and deliveries of {count}").into());
    }
    Ok(())
}

/// How many milliseconds late each of some that are set a moment ahead arrives, least first.
pub fn late(home: &Path, url: &str) -> Result<Vec<f64>, String> {
    tenants::block_on(set_ahead(home, url))
}

async fn set_ahead(home: &Path, url: &str) -> Result<Vec<f64>, Error> {
    let db = Connector::new(url)?.connect(Settings::Ordinary).await?;
    let log = Log::default();
    let (ann, bob) = (enrol(&db, home, 0).await?, enrol(&db, home, 1).await?);
    let to = bob.session.public.hex();
    let ann = Listener::attach(ann, Caps::Ours, log.clone()).await;
    let _bob = Listener::attach(bob, Caps::Ours, log.clone()).await;
    let mut late_ms = Vec::new();
    for n in 0..WARM + SAMPLES {
        let heard_before = log.heard().len();
        let due_ms = Timestamp::now().as_millisecond() + SET_AHEAD_MS;
        let ack = ann
            .ask(json!({"type": "schedule", "to": to, "message": "due", "deliverAt": due_ms}))
            .await;
        if ack["type"] != "scheduled_ack" {
            return Err(format!("a schedule is not taken: {ack}").into());
        }
        let at_ms = arrival(&log, heard_before).await?;
        if n >= WARM {
            late_ms.push((at_ms - due_ms) as f64);
        }
    }
    late_ms.sort_by(f64::total_cmp);
    Ok(late_ms)
}

async fn arrival(log: &Log, after: usize) -> Result<i64, Error> {
    let since = Instant::now();
    loop {
        let heard = log.heard_after(after);
        let message = heard.iter().find(|one| matches!(one.what, What::Message { .. }));
        if let Some(message) = message {
            return Ok(message.at_ms);
        }
        if since.elapsed() > PATIENCE {
            return Err("a schedule did not fire".into());
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// A member of this home's mesh, with one session, at the edge of its index.
async fn enrol(db: &Client, home: &Path, index: usize) -> Result<Identity, Error> {
    let membership = Home::at(home)?.membership(None)?;
    let (member, session) = (Keypair::generate(), Keypair::generate());
    let mesh = db.query_one("select no from mesh where id = $1", &[&membership.mesh_id]).await?;
    let (key, name) = (member.public.hex(), format!("bench-{index}"));
    let entered = members::insert(db, mesh.get(0), &key, &name, Role::Member).await?;
    let member_id = entered.ok_or("the key of a member is new")?.id;
    let mut edges = membership.edges;
    let n_edges = edges.len();
    edges.rotate_left(index % n_edges);
    Ok(Identity { index, mesh_id: membership.mesh_id, member_id, member, session, name, edges })
}
