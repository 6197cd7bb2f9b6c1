//! Partitions: made ahead by anybody, dropped when they are old, and nothing is lost with them.

use jiff::{ToSpan, civil::Date};
use skein_sql::{Settings, partitions};
use tokio_postgres::Client;

use crate::place::Place;

const ATTACHED: &str = "select count(*) from pg_inherits
                         where inhparent in ('message'::regclass, 'receipt'::regclass)
                           and not inhdetachpending";

async fn today(place: &Place) -> Date {
    partitions::today(&place.db).await.unwrap()
}

async fn upkeep(place: &Place) -> Client {
    place.connector.connect(Settings::Maintenance).await.unwrap()
}

fn name(day: Date) -> String {
    format!("message_{}", day.strftime("%Y%m%d"))
}

/// A message of this day, and whether somebody still waits for it; returns its number.
async fn message(place: &Place, day: Date, is_awaited: bool) -> i64 {
    let insert = "insert into message (seq, mesh, message_id, sender, sender_key, target, priority,
                                       nonce, ciphertext, kind, at, xid)
                  values (nextval('message_seq'), 1, gen_random_uuid(), 1, 'k', 't', 1, 'n', 'body',
                          0, $1::date + interval '12 h', pg_current_xact_id())
                  returning seq";
    let seq: i64 = place.row(insert, &[&day]).await.get(0);
    if is_awaited {
        let insert = "insert into delivery (seq, recipient, mesh, at, class, bytes, xid)
                      values ($2, 1, 1, $1::date + interval '12 h', 1, 4, pg_current_xact_id())";
        place.run(insert, &[&day, &seq]).await;
    }
    seq
}

#[tokio::test]
async fn a_day_is_made_once_however_many_meet_its_absence() {
    let place = Place::new().await;
    let first = today(&place).await + 30.days();
    let before = place.count(ATTACHED).await;
    let mut makers = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let db = place.connect().await;
        makers.spawn(async move {
            for day in (0..8).map(|n| first + n.days()) {
                partitions::ensure(&db, day).await.unwrap();
            }
        });
    }

    makers.join_all().await;

    assert_eq!(place.count(ATTACHED).await, before + 16);
    message(&place, first, false).await;
}

#[tokio::test]
async fn days_ahead_are_made_without_a_gap() {
    let place = Place::new().await;
    partitions::ensure_ahead(&place.db, partitions::DAYS_AHEAD).await.unwrap();
    let today = today(&place).await;

    for ahead in 0..=partitions::DAYS_AHEAD {
        message(&place, today + ahead.days(), false).await;
    }

    assert_eq!(place.count(ATTACHED).await, 2 * i64::from(partitions::DAYS_AHEAD + 1));
}

#[tokio::test]
async fn a_partition_has_its_parents_indexes_storage_and_checks() {
    let place = Place::new().await;
    let name = name(today(&place).await);

    let storage: i8 = place
        .row(
            "select attstorage from pg_attribute
              where attrelid = to_regclass($1) and attname = 'ciphertext'",
            &[&name],
        )
        .await
        .get(0);
    let counted = place
        .row(
            "select (select count(*) from pg_index where indrelid = to_regclass($1)) as here,
                    (select count(*) from pg_index where indrelid = 'message'::regclass) as above,
                    (select count(*) from pg_constraint where conrelid = to_regclass($1)
                        and contype = 'c') as checks_here,
                    (select count(*) from pg_constraint where conrelid = 'message'::regclass
                        and contype = 'c') as checks_above",
            &[&name],
        )
        .await;

    assert_eq!(storage, b'e' as i8, "external");
    assert_eq!(counted.get::<_, i64>("here"), counted.get::<_, i64>("above"));
    assert_eq!(counted.get::<_, i64>("checks_here"), counted.get::<_, i64>("checks_above"));
    assert!(counted.get::<_, i64>("above") >= 3 && counted.get::<_, i64>("checks_above") >= 5);
}

#[tokio::test]
async fn an_old_day_is_dropped_and_what_is_still_awaited_is_held() {
    let place = Place::new().await;
    let today = today(&place).await;
    let (old, young) = (today - 3.days(), today - 2.days());
    for day in [old, young] {
        partitions::ensure(&place.db, day).await.unwrap();
    }
    let awaited = message(&place, old, true).await;
    message(&place, old, false).await;
    let kept = message(&place, young, true).await;
    let upkeep = upkeep(&place).await;

    let dropped = partitions::drop_old(&upkeep).await.unwrap();

    assert!(dropped.tables.contains(&name(old)), "{dropped:?}");
    assert!(!dropped.tables.contains(&name(young)), "{dropped:?}");
    assert_eq!(dropped.n_held, 1);
    let held = place.row("select seq, ciphertext from message_held", &[]).await;
    assert_eq!((held.get("seq"), held.get("ciphertext")), (awaited, "body"));
    assert_eq!(place.row("select seq from message", &[]).await.get::<_, i64>(0), kept);
    assert_eq!(partitions::drop_old(&upkeep).await.unwrap(), partitions::Dropped::default());
}

#[tokio::test]
async fn a_held_body_goes_when_nobody_awaits_it_any_more() {
    let place = Place::new().await;
    let old = today(&place).await - 3.days();
    partitions::ensure(&place.db, old).await.unwrap();
    let first = message(&place, old, true).await;
    message(&place, old, true).await;
    partitions::drop_old(&upkeep(&place).await).await.unwrap();
    place.run("delete from delivery where seq = $1", &[&first]).await;

    assert_eq!(partitions::drop_unnamed(&place.db).await.unwrap(), 1);

    assert_eq!(place.count("select count(*) from message_held").await, 1);
}

#[tokio::test]
async fn an_interrupted_detach_is_finished_by_the_next_upkeep() {
    let place = Place::new().await;
    let old = today(&place).await - 5.days();
    partitions::ensure(&place.db, old).await.unwrap();
    let (reader, upkeep) = (place.connect().await, upkeep(&place).await);
    // A reader of the partition keeps the detach waiting until it is given up.
    reader.batch_execute("begin isolation level repeatable read").await.unwrap();
    reader.query("select from message", &[]).await.unwrap();
    upkeep.batch_execute("set statement_timeout = '300 ms'").await.unwrap();
    partitions::drop_old(&upkeep).await.unwrap_err();
    let pending = "select count(*) from pg_inherits where inhdetachpending";
    assert_eq!(place.count(pending).await, 1, "the detach was interrupted");
    // Who reads while it is finished is not waited for, and does not wait.
    reader.batch_execute("rollback; begin; select from message").await.unwrap();
    upkeep.batch_execute("set statement_timeout = 0").await.unwrap();

    let dropped = partitions::drop_old(&upkeep).await.unwrap();

    assert!(dropped.tables.contains(&name(old)), "{dropped:?}");
    assert_eq!(place.count(pending).await, 0);
}

#[tokio::test]
async fn a_day_that_was_detached_and_not_dropped_is_dropped_by_the_next_upkeep() {
    let place = Place::new().await;
    let old = today(&place).await - 5.days();
    partitions::ensure(&place.db, old).await.unwrap();
    let table = name(old);
    place.run(&format!("alter table message detach partition {table}"), &[]).await;

    let dropped = partitions::drop_old(&upkeep(&place).await).await.unwrap();

    assert!(dropped.tables.contains(&table), "{dropped:?}");
}

#[tokio::test]
async fn of_two_upkeeps_at_once_one_drops() {
    let place = Place::new().await;
    let old = today(&place).await - 5.days();
    partitions::ensure(&place.db, old).await.unwrap();
    let (one, other) = (upkeep(&place).await, upkeep(&place).await);

    let (one, other) = tokio::join!(partitions::drop_old(&one), partitions::drop_old(&other));

    let dropped: Vec<_> = one.unwrap().tables.into_iter().chain(other.unwrap().tables).collect();
    assert_eq!(dropped.iter().filter(|table| **table == name(old)).count(), 1, "{dropped:?}");
    assert_eq!(dropped.len(), 2, "of messages and of receipts");
}
