//! URL watches over the socket: made, listed, tried and ended, by those who may; what is refused;
//! and what is told of them, which these tests say in a worker's place.

mod refused;
mod told;
mod tried;

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use skein_sql::watches::{self, Check, Due, Seen};
use skein_wire::limit;

use crate::{
    harness::{OURS, Peer, TestMesh},
    web::{As, ask},
};

/// Every bucket.
fn buckets() -> Vec<i32> {
    (0..64).collect()
}

async fn watch(peer: &mut Peer, mut call: Value) -> Value {
    call["type"] = json!("watch");
    let ack = peer.call(call).await;
    assert_eq!(ack["type"], "watch_ack", "{ack}");
    ack
}

async fn unwatch(peer: &mut Peer, id: &Value) -> Value {
    peer.call(json!({"type": "unwatch", "watchId": id})).await
}

async fn list(peer: &mut Peer) -> Vec<Value> {
    let list = peer.call(json!({"type": "watch_list"})).await;
    assert_eq!(list["type"], "watch_list_result", "{list}");
    list["watches"].as_array().unwrap().clone()
}

fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// What a worker does that looks now and sees this everywhere, except that it tells nobody: what is
/// not told is found.
async fn see(mesh: &TestMesh, text: &str) {
    mesh.run("update watch set next_at = now()").await;
    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    let due = watches::due(&db, &buckets(), Duration::ZERO, 1000, &[]).await.unwrap();
    let checks: Vec<Check> = due.into_iter().map(|due| saw(due, text)).collect();
    watches::record(&db, &checks).await.unwrap();
}

fn saw(due: Due, text: &str) -> Check {
    let hash = format!("{:016x}", text.bytes().fold(7u64, |h, b| h * 31 + u64::from(b)));
    let value = Some((text.to_owned(), hash));
    Check { due, outcome: Ok(Seen { status: 200, value, etag: None, last_modified: None }) }
}

#[tokio::test]
async fn a_watch_is_made_listed_from_any_edge_and_ended() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    let call = json!({"url": "https://api.example/build?branch=main", "mode": "json",
                      "extract": "build.state", "interval": 60, "notify_on": "match:green",
                      "headers": {"X-Token": "canary-1d2e", "Accept": "application/json"},
                      "label": "build", "group": "@dev/web"});

    let ack = watch(&mut ann, call).await;
    let id = ack["watchId"].clone();
    let form = id.as_str().unwrap().strip_prefix("w_").unwrap();
    assert!(form.len() == 8 && form.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let expected = json!({"type": "watch_ack", "watchId": id, "mode": "json", "interval": 60,
                          "url": "https://api.example/build?branch=main",
                          "_reqId": ack["_reqId"]});
    assert_eq!(ack, expected);
    see(&mesh, "red").await;
    let member = ann.member.clone();
    let mut elsewhere =
        Peer::connect(&mesh.edges[1], &member, skein_crypto::Keypair::generate(), OURS).await;
    let listed = list(&mut elsewhere).await.remove(0);
    for at in ["lastCheck", "createdAt", "nextCheck"] {
        assert!(listed[at].as_str().unwrap().ends_with('Z'), "{listed}");
    }
    let expected = json!({
        "id": id, "url": "https://api.example/build?branch=main", "mode": "json", "label": "build",
        "interval": 60, "lastHash": listed["lastHash"], "lastValue": "red",
        "lastCheck": listed["lastCheck"], "createdAt": listed["createdAt"],
        "extract": "build.state", "notifyOn": "match:green", "group": "@dev/web",
        "headers": ["Accept", "X-Token"], "status": "ok", "lastStatus": 200, "failures": 0,
        "nextCheck": listed["nextCheck"], "createdBy": "ann",
    });
    assert_eq!(listed, expected);

    let ended = unwatch(&mut elsewhere, &id).await;
    assert_eq!((&ended["watchId"], &ended["interval"]), (&id, &json!(0)));
    assert_eq!((&ended["mode"], &ended["url"]), (&json!("json"), &listed["url"]));
    assert_eq!(list(&mut ann).await, Vec::<Value>::new());
    let dump = mesh.ask("select string_agg(w::text, ' ') from watch w").await;
    assert_eq!(dump, None, "nothing is kept of it");
}

#[tokio::test]
async fn an_old_client_is_told_what_the_contract_says_and_nothing_else() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;

    let ack = watch(&mut ann, json!({"url": "https://a.example/", "interval": 1})).await;
    assert_eq!((&ack["mode"], &ack["interval"]), (&json!("hash"), &json!(5)));
    let other = watch(&mut ann, json!({"url": "https://a.example/", "mode": "status"})).await;
    assert_eq!((&other["mode"], &other["interval"]), (&json!("status"), &json!(30)));
    let listed = list(&mut ann).await;
    let contract = ["id", "url", "mode", "interval", "lastHash", "lastValue", "createdAt"];
    assert_eq!(fields(&listed[0]), BTreeSet::from(contract));
    assert_eq!((&listed[0]["lastHash"], &listed[0]["lastValue"]), (&json!(""), &json!("")));
    see(&mesh, "x").await;
    let listed = list(&mut ann).await;
    let checked = contract.into_iter().chain(["lastCheck"]).collect();
    assert_eq!((listed.len(), fields(&listed[1])), (2, checked));

    let unknown = unwatch(&mut ann, &json!("w_ffffffff")).await;
    let expected = json!({"type": "watch_ack", "watchId": "w_ffffffff", "url": "", "mode": "",
                          "interval": 0, "_reqId": unknown["_reqId"]});
    assert_eq!(unknown, expected);
}

#[tokio::test]
async fn only_its_member_and_admins_end_a_watch_and_only_its_member_lists_it() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let id = watch(&mut ann, json!({"url": "https://a.example/"})).await["watchId"].clone();

    assert_eq!(list(&mut bob).await, Vec::<Value>::new());
    assert_eq!(unwatch(&mut bob, &id).await["code"], "forbidden");
    assert_eq!(list(&mut ann).await.len(), 1);
    mesh.run("update member set role = 'admin' where display_name = 'bob'").await;
    assert_eq!(unwatch(&mut bob, &id).await["interval"], 0);
    assert_eq!(unwatch(&mut bob, &id).await["code"], "watch_not_found");
    assert_eq!(list(&mut ann).await, Vec::<Value>::new());
}

#[tokio::test]
async fn making_and_ending_a_watch_is_audited_without_its_secrets() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let call = json!({"url": "https://a.example/path?key=canary-1#frag", "group": "dev",
                      "headers": {"X-Token": "canary-2"}});
    let id = watch(&mut ann, call).await["watchId"].clone();
    unwatch(&mut ann, &id).await;

    let log = ann.call(json!({"type": "audit_query"})).await;
    let entries = log["entries"].as_array().unwrap();
    let of =
        |kind: &str| entries.iter().find(|e| e["eventType"] == kind).unwrap()["payload"].clone();
    let made = json!({"watchId": id, "url": "https://a.example/path", "group": "@dev"});
    assert_eq!(of("watch_created"), made);
    assert_eq!(of("watch_deleted"), json!({"watchId": id, "url": "https://a.example/path"}));
    assert!(!log.to_string().contains("canary"), "{log}");
}

#[tokio::test]
async fn a_list_that_does_not_fit_a_frame_says_how_many_are_left_out() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let fill = format!(
        "insert into watch (mesh, id, member, url, mode, interval_s, notify_on, phase, value, hash)
         select m.mesh, 'w_' || lpad(to_hex(n), 8, '0'), m.mailbox, repeat('u', 2048), 'hash', 60,
                'change', 0, repeat('v', 4000), repeat('0', 16)
           from member m, generate_series(1, {}) n
          where m.display_name = 'ann'",
        limit::WATCHES_PER_MEMBER_MAX
    );
    mesh.run(&fill).await;
    let all = usize::try_from(limit::WATCHES_PER_MEMBER_MAX).unwrap();

    let cut = ann.call(json!({"type": "watch_list"})).await;
    mesh.run("delete from watch where id > 'w_00000009'").await;
    let whole = ann.call(json!({"type": "watch_list"})).await;

    let n_listed = cut["watches"].as_array().unwrap().len();
    assert!(n_listed > 10 && cut["more"] == json!(all - n_listed), "{n_listed} {}", cut["more"]);
    assert_eq!((whole["watches"].as_array().unwrap().len(), whole.get("more")), (9, None));
}

#[tokio::test]
async fn headers_are_sealed_and_never_shown() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let call = json!({"url": "https://a.example/", "headers": {"X-Token": "canary-77aa"}});
    watch(&mut ann, call).await;

    let listed = list(&mut ann).await;
    assert_eq!(listed[0]["headers"], json!(["X-Token"]));
    let dump = mesh.ask("select string_agg(w::text, ' ') from watch w").await.unwrap();
    assert!(dump.contains("X-Token") && !dump.contains("canary"), "{dump}");
    let sealed = mesh.ask("select headers from watch").await.unwrap();
    let opened = skein_crypto::at_rest::open(&[0x5a; 32], &sealed).unwrap();
    assert_eq!(opened, br#"{"X-Token":"canary-77aa"}"#);
}

#[tokio::test]
async fn test_targets_are_served_where_they_are_asked_for() {
    let with = TestMesh::start_with(1, &[("SKEIN_TEST_TARGETS", "1")]).await;
    let without = TestMesh::start(1).await;
    let get = |port: u16, path: &'static str| ask(port, As::Nobody, "GET", path, "");

    let (port, other) = (with.edges[0].port, without.edges[0].port);
    let clock = get(port, "/test/clock").await.json();
    assert!(clock["time"].as_str().unwrap().ends_with('Z') && clock["epoch"].is_i64(), "{clock}");
    let flip = get(port, "/test/flip").await.json();
    assert!(["heads", "tails"].contains(&flip["value"].as_str().unwrap()) && flip["at"].is_i64());
    let (first, second) = (get(port, "/test/html").await, get(port, "/test/html").await);
    assert_ne!(first.body, second.body);
    for path in ["/test/clock", "/test/flip", "/test/html"] {
        assert_eq!(get(other, path).await.status, 404, "{path}");
        let query: &'static str = Box::leak(format!("{path}?x=1").into_boxed_str());
        assert_eq!(get(port, query).await.status, 404, "the whole target is compared");
    }
    let document = skein_edge::http::document();
    assert!(!document.contains("/test/"), "they are no part of the product");
}
