//! Departures are announced once, after the grace, and only if the session did not come back.

use std::time::Duration;

use skein_sql::{
    Listener,
    duties::BUCKETS,
    sweep::{self, departures},
};

use crate::place::{Place, SOON};

const ALL: fn() -> Vec<i32> = || (0..BUCKETS).collect();

async fn depart_in(place: &Place, session: i64, seconds: f64) {
    let set = "update session set depart_at = now() + make_interval(secs => $2) where mailbox = $1";
    place.run(set, &[&session, &seconds]).await;
}

async fn hear(listener: &mut Listener) -> String {
    let heard = tokio::time::timeout(SOON, listener.notifications.recv()).await;
    heard.unwrap().expect("the listener lives").payload
}

#[tokio::test]
async fn a_departure_is_found_by_one_of_two_workers() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    for n in 0..200 {
        let session = place.session(mesh, &format!("s{n}")).await;
        depart_in(&place, session, -1.0).await;
    }
    let (first, second, buckets) = (place.connect().await, place.connect().await, ALL());

    let (a, b) =
        tokio::join!(departures::depart(&first, &buckets), departures::depart(&second, &buckets));
    let rest = departures::depart(&place.db, &buckets).await.unwrap();

    let mut mailboxes: Vec<i64> =
        a.unwrap().iter().chain(&b.unwrap()).chain(&rest).map(|d| d.mailbox).collect();
    mailboxes.sort_unstable();
    let n_found = mailboxes.len();
    mailboxes.dedup();
    assert_eq!((n_found, mailboxes.len()), (200, 200));
    assert_eq!(departures::depart(&place.db, &buckets).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_session_departs_at_its_deadline_and_not_before() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let session = place.session(mesh, "ann").await;
    depart_in(&place, session, 20.0).await;

    let look = sweep::look(&place.db, &ALL()).await.unwrap();

    let wait = look.departure_in.unwrap();
    assert!(Duration::from_secs(15) < wait && wait <= Duration::from_secs(20), "{wait:?}");
    assert_eq!(departures::depart(&place.db, &ALL()).await.unwrap().len(), 0);
    depart_in(&place, session, 0.0).await;
    let look = sweep::look(&place.db, &ALL()).await.unwrap();
    assert_eq!(look.departure_in, Some(Duration::ZERO));
    assert_eq!(departures::depart(&place.db, &ALL()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_session_that_is_attached_again_does_not_depart() {
    let place = Place::new().await;
    let (node, mesh) = (place.node("edge").await, place.mesh("m").await);
    let session = place.session(mesh, "ann").await;
    depart_in(&place, session, -1.0).await;
    place.attach(session, node).await;

    let departed = departures::depart(&place.db, &ALL()).await.unwrap();

    assert_eq!(departed.len(), 0);
    let row = place
        .row("select announced, depart_at is null from session where mailbox = $1", &[&session])
        .await;
    assert_eq!((row.get(0), row.get(1)), ("here", true), "and its deadline is not looked at again");
}

#[tokio::test]
async fn a_session_that_comes_back_in_that_moment_does_not_depart() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let session = place.session(mesh, "ann").await;
    depart_in(&place, session, -1.0).await;
    let mut hello = place.connect().await;
    let attaching = hello.transaction().await.unwrap();
    let attach = "update session set attach_no = attach_no + 1, depart_at = null
                   where mailbox = $1";
    attaching.execute(attach, &[&session]).await.unwrap();

    let while_attaching = departures::depart(&place.db, &ALL()).await.unwrap();
    attaching.commit().await.unwrap();
    let after = departures::depart(&place.db, &ALL()).await.unwrap();

    assert_eq!((while_attaching.len(), after.len()), (0, 0));
}

#[tokio::test]
async fn only_the_buckets_that_were_asked_for_are_looked_at() {
    let place = Place::new().await;
    let mesh = place.mesh("m").await;
    let session = place.session(mesh, "ann").await;
    depart_in(&place, session, -1.0).await;
    let own = i32::try_from(mesh.0 % i64::from(BUCKETS)).unwrap();
    let others: Vec<i32> = (0..BUCKETS).filter(|bucket| *bucket != own).collect();

    assert_eq!(departures::depart(&place.db, &others).await.unwrap().len(), 0);
    assert_eq!(sweep::look(&place.db, &others).await.unwrap().departure_in, None);
    assert_eq!(departures::depart(&place.db, &[own]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_nodes_that_have_sessions_of_the_mesh_are_told() {
    let place = Place::new().await;
    let (near, far) = (place.node("edge").await, place.node("edge").await);
    let (mesh, other) = (place.mesh("m").await, place.mesh("other").await);
    let (here, gone) = (place.session(mesh, "here").await, place.session(mesh, "gone").await);
    let stranger = place.session(other, "stranger").await;
    place.attach(here, near).await;
    place.attach(stranger, far).await;
    depart_in(&place, gone, -1.0).await;
    let (mut at_near, mut at_far) =
        (place.connector.listener().await.unwrap(), place.connector.listener().await.unwrap());
    at_near.listen(near).await.unwrap();
    at_far.listen(far).await.unwrap();

    let departed = departures::depart(&place.db, &ALL()).await.unwrap();
    departures::announce(&place.db, &departed).await.unwrap();

    // Sent afterwards, so everything before it has arrived.
    sweep::tell(&place.db, &[far]).await.unwrap();
    assert_eq!(hear(&mut at_far).await, r#"{"k":"look"}"#);
    let key: String =
        place.row("select key from session where mailbox = $1", &[&gone]).await.get(0);
    let heard: serde_json::Value = serde_json::from_str(&hear(&mut at_near).await).unwrap();
    assert_eq!(heard["k"], "event");
    assert_eq!(heard["mesh"], mesh.0);
    assert_eq!(heard["about"], gone);
    assert_eq!(heard["no"], 1);
    assert_eq!(heard["push"]["type"], "push");
    assert_eq!(heard["push"]["event"], "peer_left");
    assert_eq!(heard["push"]["meshId"], "m");
    assert_eq!(heard["push"]["eventData"], serde_json::json!({ "name": "gone", "pubkey": key }));
}
