//! Watches are looked at in time, by whichever workers there are, and what is told is told once,
//! whoever of them dies or loses a bucket in the middle.

mod many;
mod taken;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use skein_crypto::at_rest;
use skein_sql::{
    duties::{self, Kind},
    partitions,
    watches::{self, Created, New},
};
use skein_wire::{
    push::Kept,
    watches::{Health, Mode, Watched},
};
use skein_worker::{Fetching, Options};

use crate::{
    place::{Place, Worker, until},
    web::{Answer, Web},
};

/// The deployment key of these tests.
const KEY: [u8; 32] = [0x5a; 32];

/// A worker that may look at this machine.
fn options(place: &Place, key: Option<[u8; 32]>) -> Options {
    let allow = "127.0.0.0/8".parse().unwrap();
    Options { watches: Fetching::new(allow, key), ..place.options() }
}

fn worker(place: &Place) -> Worker {
    Worker::start(options(place, Some(KEY)))
}

/// A mesh of this number with one member: the number and the member's mailbox.
async fn mesh(place: &Place, no: i64) -> (i64, i64) {
    partitions::ensure_ahead(&place.db, 0).await.unwrap();
    let make = "
        with mesh as (
            insert into mesh (no, id, slug, name, owner_key) overriding system value
            values ($1::bigint, 'm' || $1::bigint, 'm' || $1::bigint, 'm', repeat('0', 64))
            returning no)
        insert into member (id, mesh, pubkey, display_name, role)
        select 'm' || $1::bigint, no, repeat('0', 64), 'ann', 'owner' from mesh
        returning mesh, mailbox";
    let row = place.row(make, &[&no]).await;
    (row.get(0), row.get(1))
}

fn new(member: i64, url: &str) -> New<'_> {
    New {
        member,
        url,
        mode: Mode::Hash,
        extract: None,
        interval_s: 3600,
        notify_on: "change",
        headers: None,
        header_names: &[],
        label: None,
        group: None,
    }
}

/// Makes a watch as an edge does, and wakes the workers.
async fn make(place: &Place, mesh: (i64, i64), new: New<'_>) -> String {
    place.run("begin", &[]).await;
    let created = watches::create(&place.db, mesh.0, new).await.unwrap();
    place.run("commit", &[]).await;
    duties::wake(&place.db, Kind::Watch).await.unwrap();
    match created {
        Created::Made(id) => id,
        full => panic!("{full:?}"),
    }
}

/// Has every watch be looked at now.
async fn again(place: &Place) {
    place.run("update watch set next_at = now()", &[]).await;
    duties::wake(&place.db, Kind::Watch).await.unwrap();
}

/// Waits until so many checks of every watch were written.
async fn checked(place: &Place, n: i64) {
    let read = "select coalesce(min(check_no), 0) >= $1 from watch";
    until(async || place.row(read, &[&n]).await.get(0)).await;
}

async fn listed(place: &Place, mesh: (i64, i64)) -> Watched {
    watches::list(&place.db, mesh.0, mesh.1).await.unwrap().remove(0)
}

/// The events that were stored, in order.
async fn told(place: &Place) -> Vec<Kept> {
    let read = "select ciphertext from message where sender_key = 'system' order by seq";
    let rows = place.db.query(read, &[]).await.unwrap();
    rows.iter().map(|row| Kept::read(row.get(0)).unwrap()).collect()
}

fn step(kept: &Kept) -> (&Value, &Value) {
    (&kept.event_data["oldValue"], &kept.event_data["newValue"])
}

#[tokio::test]
async fn a_watch_is_looked_at_at_once_and_its_changes_are_told() {
    let (place, web) = (Place::new().await, Web::start().await);
    let mesh = mesh(&place, 1).await;
    let _worker = worker(&place);
    place.shared(&[64]).await;
    web.answer("/state", Answer::ok(r#"{"build": {"state": "red"}}"#));
    let url = web.url("/state");
    let watch = New { mode: Mode::Json, extract: Some("build.state"), ..new(mesh.1, &url) };

    make(&place, mesh, New { notify_on: "match:green", ..watch }).await;
    make(&place, mesh, New { notify_on: "not_match:green", ..watch }).await;
    checked(&place, 1).await;
    assert!(told(&place).await.is_empty(), "the first value is the baseline");
    for (n, state) in [(2, "yellow"), (3, "green"), (4, "green"), (5, "red")] {
        web.answer("/state", Answer::ok(&json!({"build": {"state": state}}).to_string()));
        again(&place).await;
        checked(&place, n).await;
    }

    let told = told(&place).await;
    let steps: Vec<_> = told.iter().map(step).collect();
    let (yellow, green, red) = (json!("yellow"), json!("green"), json!("red"));
    assert_eq!(steps, [(&yellow, &green), (&green, &red)]);
    assert!(told.iter().all(|kept| kept.event == "watch_triggered"));
}

#[tokio::test]
async fn a_watch_alone_is_looked_at_again_and_again() {
    let (place, web) = (Place::new().await, Web::start().await);
    let mesh = mesh(&place, 1).await;
    let _worker = worker(&place);
    place.shared(&[64]).await;

    make(&place, mesh, New { interval_s: 5, ..new(mesh.1, &web.url("/page")) }).await;

    // Nobody says anything after the first.
    checked(&place, 3).await;
    assert_eq!(web.hits("/page").len(), 3);
}

#[tokio::test]
async fn what_has_not_changed_is_asked_for_by_its_etag() {
    let (place, web) = (Place::new().await, Web::start().await);
    let mesh = mesh(&place, 1).await;
    let _worker = worker(&place);
    let tagged = |body, etag| Answer { etag: Some(etag), ..Answer::ok(body) };
    web.answer("/page", tagged("one", "\"1\""));
    make(&place, mesh, new(mesh.1, &web.url("/page"))).await;
    checked(&place, 1).await;
    let first = listed(&place, mesh).await;

    again(&place).await;
    checked(&place, 2).await;
    let second = listed(&place, mesh).await;
    web.answer("/page", tagged("two", "\"2\""));
    again(&place).await;
    checked(&place, 3).await;

    let asked: Vec<Option<String>> =
        web.hits("/page").iter().map(|hit| hit.headers.get("if-none-match").cloned()).collect();
    assert_eq!(asked, [None, Some("\"1\"".into()), Some("\"1\"".into())]);
    assert_eq!((first.last_status, second.last_status), (Some(200), Some(304)));
    assert_eq!((&first.last_hash, &first.last_value), (&second.last_hash, &second.last_value));
    assert_ne!(listed(&place, mesh).await.last_hash, first.last_hash);
    assert_eq!(told(&place).await.len(), 1);
}

#[tokio::test]
async fn an_error_page_is_a_failure_and_not_a_value() {
    let (place, web) = (Place::new().await, Web::start().await);
    let mesh = mesh(&place, 1).await;
    let _worker = worker(&place);
    make(&place, mesh, new(mesh.1, &web.url("/page"))).await;
    checked(&place, 1).await;

    web.answer("/page", Answer::status(503));
    for n in 2..=7 {
        again(&place).await;
        checked(&place, n).await;
    }
    let failing = listed(&place, mesh).await;
    web.answer("/page", Answer::ok("ok"));
    again(&place).await;
    checked(&place, 8).await;

    assert_eq!((failing.status, failing.failures), (Some(Health::Failing), Some(6)));
    assert_eq!(failing.last_error.as_deref(), Some("HTTP 503"));
    assert_eq!(listed(&place, mesh).await.status, Some(Health::Ok));
    let events: Vec<String> = told(&place).await.into_iter().map(|kept| kept.event).collect();
    assert_eq!(events, ["watch_failing", "watch_recovered"], "and the value is what it was");
}

#[tokio::test]
async fn a_status_is_a_value_whatever_it_is() {
    let (place, web) = (Place::new().await, Web::start().await);
    let mesh = mesh(&place, 1).await;
    let _worker = worker(&place);
    web.answer("/page", Answer { etag: Some("\"1\""), ..Answer::ok("x") });
    make(&place, mesh, New { mode: Mode::Status, ..new(mesh.1, &web.url("/page")) }).await;
    checked(&place, 1).await;

    for (n, status) in [(2, 200), (3, 404), (4, 404), (5, 200)] {
        let etag = (status == 200).then_some("\"1\"");
        web.answer("/page", Answer { etag, ..Answer::status(status) });
        again(&place).await;
        checked(&place, n).await;
    }

    let told = told(&place).await;
    let (fine, gone) = (json!("200"), json!("404"));
    assert_eq!(told.iter().map(step).collect::<Vec<_>>(), [(&fine, &gone), (&gone, &fine)]);
}

#[tokio::test]
async fn headers_are_opened_for_the_request_alone() {
    let (place, web) = (Place::new().await, Web::at(2).await);
    let mesh = mesh(&place, 1).await;
    let secret = "canary-5f1d";
    let headers = BTreeMap::from([("Authorization", secret)]);
    let sealed = at_rest::seal(&KEY, json!(headers).to_string().as_bytes());
    let elsewhere = format!("http://{}/elsewhere", web.addresses[1]);
    web.answer("/moved", Answer { location: Some(elsewhere), ..Answer::status(302) });
    let names = ["Authorization".to_owned()];
    let with = |url| New { headers: Some(&sealed), header_names: &names, ..new(mesh.1, url) };
    let (page, moved) = (web.url("/page"), web.url("/moved"));

    let locked_out = Worker::start(options(&place, None));
    make(&place, mesh, with(&page)).await;
    checked(&place, 1).await;
    let failing = listed(&place, mesh).await;
    locked_out.stop().await;
    let _worker = worker(&place);
    make(&place, mesh, with(&moved)).await;
    again(&place).await;
    web.asked("/elsewhere", 1).await;
    web.asked("/page", 1).await;

    let why = failing.last_error.unwrap();
    assert!(why.contains("SKEIN_DEPLOYMENT_KEY"), "{why}");
    assert_eq!(web.hits("/page")[0].headers["authorization"], secret);
    assert_eq!(web.hits("/moved")[0].headers["authorization"], secret);
    assert_eq!(web.hits("/elsewhere")[0].headers.get("authorization"), None, "another origin");
    checked(&place, 1).await;
    let dump = "select string_agg(w::text, ' ') from watch w";
    let dump: String = place.row(dump, &[]).await.get(0);
    assert!(dump.contains("Authorization") && !dump.contains(secret), "{dump}");
}

#[tokio::test]
async fn what_is_not_allowed_is_not_contacted() {
    let (place, web) = (Place::new().await, Web::start().await);
    let mesh = mesh(&place, 1).await;
    let watches = Fetching::new("127.0.0.2".parse().unwrap(), None);
    let _worker = Worker::start(Options { watches, ..place.options() });

    make(&place, mesh, new(mesh.1, &web.url("/private"))).await;
    checked(&place, 1).await;

    let why = listed(&place, mesh).await.last_error.unwrap();
    assert!(why.contains("SKEIN_FETCH_ALLOW"), "{why}");
    assert!(web.hits("/private").is_empty());
}
