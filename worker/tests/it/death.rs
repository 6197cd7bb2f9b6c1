//! A node that stands still is dead, fenced, swept, and its sessions are announced gone, once.

use std::time::Duration;

use skein_sql::{Listener, Settings};

use crate::place::{Heart, Place, SOON, until};

/// The departures that were told within the time.
async fn departures(listener: &mut Listener, within: Duration) -> Vec<i64> {
    let mut told = Vec::new();
    let listening = async {
        while let Some(note) = listener.notifications.recv().await {
            if note.payload.contains("peer_left") {
                let about = note.payload.split_once(r#""about":"#).expect("events say of whom").1;
                let digits = about.chars().take_while(char::is_ascii_digit);
                told.push(digits.collect::<String>().parse().unwrap());
            }
        }
    };
    tokio::time::timeout(within, listening).await.ok();
    told.sort_unstable();
    told
}

#[tokio::test]
async fn a_node_that_stands_still_is_swept_and_its_sessions_are_announced_gone_once() {
    let place = Place::new().await;
    let (still, beating) = (place.node("edge").await, place.node("edge").await);
    let _heart = Heart::start(&place.connector, beating);
    let mut gone = Vec::new();
    for n in 0..20 {
        gone.push(place.session(&format!("gone{n}"), still).await);
    }
    place.session("here", beating).await;
    let mut listener = place.connector.listener().await.unwrap();
    listener.listen(beating).await.unwrap();
    let connection = place.connector.of_node(still).connect(Settings::Ordinary).await.unwrap();

    let (_first, _second) = (place.worker(), place.worker());
    place.reaches(still, "swept").await;

    assert!(connection.is_closed(), "it was fenced before");
    let announced = "select count(*) = 20 from session where announced = 'gone'";
    until(async || place.row(announced, &[]).await.get(0)).await;
    assert_eq!(departures(&mut listener, Duration::from_secs(1)).await, gone);
    assert_eq!(place.state(beating).await, "alive");
}

#[tokio::test]
async fn a_node_that_left_by_itself_is_swept_as_if_it_had_died() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    let session = place.session("ann", node).await;
    let _worker = place.worker();

    skein_sql::nodes::retire(&place.db, node).await.unwrap();

    place.reaches(node, "swept").await;
    let gone = "select announced = 'gone' from session where mailbox = $1";
    until(async || place.row(gone, &[&session]).await.get(0)).await;
}

#[tokio::test]
async fn more_departures_than_a_mesh_is_told_in_a_second_are_dropped() {
    let place = Place::new().await;
    let (node, beating) = (place.node("edge").await, place.node("edge").await);
    let _heart = Heart::start(&place.connector, beating);
    for n in 0..120 {
        place.session(&format!("gone{n}"), node).await;
    }
    place.session("here", beating).await;
    let mut listener = place.connector.listener().await.unwrap();
    listener.listen(beating).await.unwrap();

    skein_sql::nodes::retire(&place.db, node).await.unwrap();
    let _worker = place.worker();

    let announced = "select count(*) = 120 from session where announced = 'gone'";
    until(async || place.row(announced, &[]).await.get(0)).await;
    let n_told = departures(&mut listener, Duration::from_secs(1)).await.len();
    assert_eq!(n_told, 50, "they all departed in one step");
}

#[tokio::test]
async fn what_is_new_in_a_database_is_made_by_the_first_worker() {
    let place = Place::new().await;
    let _worker = place.worker();

    let partitions = "select count(*) = 16 from pg_inherits
                       where inhparent in ('message'::regclass, 'receipt'::regclass)";

    tokio::time::timeout(SOON, async {
        until(async || place.row(partitions, &[]).await.get(0)).await;
    })
    .await
    .unwrap();
}
