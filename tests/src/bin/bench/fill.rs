//! A database that has worked: messages that were sent, delivered and settled before the run.
//!
//! They are written by SQL, not sent: a million real ones would take minutes, three times. What is
//! written is what the real thing leaves (see `sql/migrations/V4__messages.sql`): a row of
//! `message` in today's partition, a key in the current `send_key` table, and a receipt for each
//! batch that was settled; no row of `delivery`, because settling removes it. The bodies have the
//! size and storage of real ones, the sessions are those of the run before. Then the tables are
//! vacuumed and analysed, as autovacuum does, and a checkpoint is made, so that the run does not pay
//! for the writing.

use skein_sql::{Connector, Settings};
use tokio_postgres::Client;

/// Messages of one statement.
const STEP: i32 = 50_000;
/// Messages that one receipt names: what an edge settles at once under load.
const RECEIPT: i32 = 100;

/// The sender and the recipient are a session of the run before: no index is on either.
const FILL: &str = "
    with one as (
        select s.mesh, s.mailbox, s.key from session s order by s.mailbox desc limit 1),
    new as materialized (
        select i, nextval('message_seq') as seq, gen_random_uuid() as message_id
          from generate_series(1, $1::int) i),
    stored as (
        insert into message (seq, mesh, message_id, sender, sender_key, target, priority, nonce,
                             ciphertext, kind, at, xid)
        select n.seq, o.mesh, n.message_id, o.mailbox, o.key, o.key, 1,
               left(md5(n.i::text), 32), left(repeat(md5(n.seq::text), 12), 356), 0, now(),
               pg_current_xact_id()
          from new n, one o),
    keyed as (
        insert into send_key_0 (message_id, body_hash, seq, at)
        select message_id, decode(repeat(md5(seq::text), 2), 'hex'), seq, now() from new)
    insert into receipt (seqs, recipients, seq_min, seq_max, outcome, at)
    select array_agg(n.seq), array_agg(o.mailbox), min(n.seq), max(n.seq), 0, now()
      from new n, one o
     group by n.i / $2::int";

/// The same with the other table of keys.
fn fill(current: i16) -> String {
    FILL.replace("send_key_0", &format!("send_key_{current}"))
}

/// Writes so many settled messages; none: only vacuums and analyses.
pub fn settled(url: &str, count: i32) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(write(url, count)).map_err(|error| format!("filling the tables: {error}"))
}

async fn write(url: &str, count: i32) -> Result<(), Box<dyn std::error::Error>> {
    let db = Connector::new(url)?.connect(Settings::Maintenance).await?;
    let current = db.query_one("select current from send_key_turn", &[]).await?.get(0);
    let fill = db.prepare(&fill(current)).await?;
    for _ in 0..count / STEP {
        db.execute(&fill, &[&STEP, &RECEIPT]).await?;
    }
    for table in ["message", "receipt", "send_key_0", "send_key_1", "delivery"] {
        db.batch_execute(&format!("vacuum analyze {table}")).await?;
    }
    db.batch_execute("checkpoint").await?;
    check(&db, count).await
}

/// The rows must be there: a measure of empty tables would pass.
async fn check(db: &Client, count: i32) -> Result<(), Box<dyn std::error::Error>> {
    let settled = "
        select (select count(*) from message), (select sum(cardinality(seqs)) from receipt)::int8";
    let row = db.query_one(settled, &[]).await?;
    let (messages, receipts): (i64, i64) = (row.get(0), row.get(1));
    if messages.min(receipts) < i64::from(count) {
        return Err(format!("there are {messages} messages and {receipts} receipts").into());
    }
    Ok(())
}
