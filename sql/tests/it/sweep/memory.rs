//! What is remembered for a while only.

use std::time::Duration;

use skein_sql::sweep::memory::{drop_hooks, recount, rotate_keys};

use crate::place::Place;

const HOUR: Duration = Duration::from_secs(3600);

async fn key(place: &Place, table: i16, id: &str) {
    let insert = format!(
        "insert into send_key_{table} (message_id, body_hash, seq, at)
         values (md5($1)::uuid, '\\x00', 1, now())"
    );
    place.run(&insert, &[&id]).await;
}

async fn keys(place: &Place) -> (i64, i64, i16) {
    let row = place
        .row(
            "select (select count(*) from send_key_0), (select count(*) from send_key_1), current
               from send_key_turn",
            &[],
        )
        .await;
    (row.get(0), row.get(1), row.get(2))
}

async fn age_turn(place: &Place) {
    place.run("update send_key_turn set since = now() - interval '61 minutes'", &[]).await;
}

#[tokio::test]
async fn the_older_table_of_keys_is_emptied_and_becomes_the_current_one() {
    let place = Place::new().await;
    key(&place, 0, "young").await;
    key(&place, 1, "old").await;

    assert!(!rotate_keys(&place.db, HOUR).await.unwrap(), "it is not time");
    age_turn(&place).await;
    assert!(rotate_keys(&place.db, HOUR).await.unwrap());

    assert_eq!(keys(&place).await, (1, 0, 1));
    assert!(!rotate_keys(&place.db, HOUR).await.unwrap(), "it was just done");
}

#[tokio::test]
async fn two_workers_rotate_once() {
    let place = Place::new().await;
    key(&place, 0, "young").await;
    age_turn(&place).await;
    let (a, b) = (place.connect().await, place.connect().await);

    let (x, y) = tokio::join!(rotate_keys(&a, HOUR), rotate_keys(&b, HOUR));

    assert_ne!(x.unwrap(), y.unwrap());
    assert_eq!(keys(&place).await, (1, 0, 1), "the young key is still there");
}

#[tokio::test]
async fn a_batch_that_holds_the_older_table_is_not_waited_for_long() {
    let place = Place::new().await;
    age_turn(&place).await;
    let (mut batch, worker) = (place.connect().await, place.connect().await);
    let storing = batch.transaction().await.unwrap();
    storing.execute("lock table send_key_1 in row exclusive mode", &[]).await.unwrap();

    let refused = rotate_keys(&worker, HOUR).await;
    storing.commit().await.unwrap();

    assert!(refused.is_err());
    assert_eq!(keys(&place).await, (0, 0, 0), "nothing was half done");
    assert!(rotate_keys(&worker, HOUR).await.unwrap(), "the connection is usable");
}

#[tokio::test]
async fn hooks_that_found_no_session_are_forgotten() {
    let place = Place::new().await;
    let insert = "insert into hook_pending (pid, cwd, status, at)
                  values (1, '/', 'working', now() - interval '11 s'), (2, '/', 'working', now())";
    place.run(insert, &[]).await;

    let n_dropped = drop_hooks(&place.db, Duration::from_secs(10)).await.unwrap();

    assert_eq!(n_dropped, 1);
    assert_eq!(place.row("select pid from hook_pending", &[]).await.get::<_, i64>(0), 2);
}

#[tokio::test]
async fn what_a_mesh_holds_is_counted() {
    let place = Place::new().await;
    let (full, empty) = (place.mesh("full").await, place.mesh("empty").await);
    place.run("update mesh set held_bytes = 7", &[]).await;
    let session = place.session(full, "ann").await;
    place.deliver(full, session, 0).await;
    place.deliver(full, session, 0).await;

    assert_eq!(recount(&place.db).await.unwrap(), 2);

    let held = async |mesh: i64| -> i64 {
        place.row("select held_bytes from mesh where no = $1", &[&mesh]).await.get(0)
    };
    assert_eq!((held(full.0).await, held(empty.0).await), (200, 0));
    assert_eq!(recount(&place.db).await.unwrap(), 0);
}
