//! State: set, read, listed, removed; kept as it was sent; told to the others, in order, to the last
//! value.

mod changes;
mod crowd;

use serde_json::{Value, json};
use skein_crypto::Keypair;
use skein_wire::limit;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{OURS, Peer, TestMesh};

/// What a peer hears of a key.
pub async fn change(peer: &mut Peer, key: &str) -> Value {
    peer.find(|f| f["type"] == "state_change" && f["key"] == key).await
}

/// Sets a key as our client does, and returns what answers it.
pub async fn set(peer: &mut Peer, key: &str, value: Value) -> Value {
    peer.call(json!({"type": "set_state", "key": key, "value": value})).await
}

async fn get(peer: &mut Peer, key: &str) -> Value {
    let got = peer.call(json!({"type": "get_state", "key": key})).await;
    assert_eq!(got["type"], "state_result", "{got}");
    got
}

async fn keys(peer: &mut Peer, call: Value) -> Vec<String> {
    let list = peer.call(call).await;
    assert_eq!(list["type"], "state_list", "{list}");
    let key = |entry: &Value| entry["key"].as_str().unwrap().to_owned();
    list["entries"].as_array().unwrap().iter().map(key).collect()
}

/// The next text frame of that type, as it is.
async fn raw(peer: &mut Peer, kind: &str) -> String {
    use futures_util::StreamExt;
    let reading = async {
        loop {
            let frame = peer.socket.next().await.unwrap().unwrap();
            if let Message::Text(text) = frame
                && text.contains(&format!("\"type\":\"{kind}\""))
            {
                return text.to_string();
            }
        }
    };
    tokio::time::timeout(crate::harness::SOON, reading).await.expect("it comes")
}

#[tokio::test]
async fn a_key_is_set_told_read_and_listed_across_edges() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let mut cat = mesh.peer("cat", 1).await;
    let value = json!({"branch": "main", "ok": true});

    ann.send(&json!({"type": "set_state", "key": "build", "value": value, "_reqId": "s"})).await;

    let told = change(&mut bob, "build").await;
    let contract = json!({"type": "state_change", "key": "build", "value": value,
                          "updatedBy": "ann"});
    assert_eq!(told, contract, "to the letter, for an old client");
    let told = change(&mut cat, "build").await;
    assert_eq!((&told["value"], &told["version"]), (&value, &json!(1)));
    let got = get(&mut bob, "build").await;
    let at = got["updatedAt"].as_str().unwrap();
    assert!(at.ends_with('Z') && at.len() == "2026-04-08T09:30:00.123Z".len(), "{at}");
    let entry = json!({"key": "build", "value": value, "updatedBy": "ann", "updatedAt": at});
    let mut expected = entry.clone();
    expected["type"] = json!("state_result");
    expected["_reqId"] = got["_reqId"].clone();
    assert_eq!(got, expected);
    let list = bob.call(json!({"type": "list_state"})).await;
    assert_eq!(list["entries"], json!([entry]));
    assert_eq!(get(&mut cat, "build").await["version"], 1);
    assert_eq!(ann.rest().await, Vec::<Value>::new(), "no word to an old client that sets");
}

#[tokio::test]
async fn keys_are_listed_in_their_order_and_by_prefix() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    for key in ["b/2", "a", "b/1", "ä", "B"] {
        set(&mut ann, key, json!(1)).await;
    }

    let all = keys(&mut ann, json!({"type": "list_state"})).await;
    let some = keys(&mut ann, json!({"type": "list_state", "prefix": "b/"})).await;
    let rest = keys(&mut ann, json!({"type": "list_state", "after": "b/1"})).await;

    assert_eq!(all, ["B", "a", "b/1", "b/2", "ä"]);
    assert_eq!(some, ["b/1", "b/2"]);
    assert_eq!(rest, ["b/2", "ä"]);
}

#[tokio::test]
async fn q27_the_author_of_a_key_or_context_is_the_member_whatever_its_session_is_called() {
    let mesh = TestMesh::start(1).await;
    let enrolled = mesh.member("ann-laptop-312").await;
    let mut called = enrolled.clone();
    called.name = "Ann".into();
    let mut ann = Peer::connect(&mesh.edges[0], &called, Keypair::generate(), OURS).await;

    set(&mut ann, "k", json!(1)).await;

    assert_eq!(get(&mut ann, "k").await["updatedBy"], "ann-laptop-312");
    ann.call(json!({"type": "share_context", "summary": "s"})).await;
    let listed = ann.call(json!({"type": "list_contexts"})).await;
    assert_eq!(listed["contexts"][0]["peerName"], "ann-laptop-312");
}

#[tokio::test]
async fn a_client_of_ours_hears_the_version_and_never_a_result() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;

    let first = set(&mut ann, "k", json!("a")).await;
    let second = set(&mut ann, "k", json!("a")).await;

    assert_eq!((&first["type"], &first["version"]), (&json!("ack"), &json!(1)));
    assert_eq!((&second["version"], &second["messageId"]), (&json!(2), &json!("")));
    assert_eq!(ann.rest().await, Vec::<Value>::new());
}

#[tokio::test]
async fn another_version_is_refused_with_what_the_key_holds() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 0).await);
    let cas = |value: &str, version: u64| json!({"type": "set_state", "key": "k", "value": value, "ifVersion": version});
    ann.call(cas("one", 0)).await;
    change(&mut bob, "k").await;

    let refused = ann.call(cas("two", 0)).await;
    assert_eq!(refused["code"], "version_mismatch");
    assert!(refused["message"].as_str().unwrap().contains("version is 1"), "{refused}");
    let current = &refused["current"];
    assert_eq!((&current["key"], &current["value"]), (&json!("k"), &json!("one")));
    assert_eq!((&current["version"], &current["updatedBy"]), (&json!(1), &json!("ann")));
    assert_eq!(ann.call(cas("two", 1)).await["version"], 2);
    change(&mut bob, "k").await;
    let absent =
        ann.call(json!({"type": "set_state", "key": "other", "value": 1, "ifVersion": 7})).await;
    assert_eq!(absent["current"]["version"], 0);
    assert_eq!(get(&mut ann, "k").await["value"], "two");
    bob.send(&cas("three", 1)).await;

    assert_eq!(bob.rest().await, Vec::<Value>::new(), "an old client is told nothing");
    assert_eq!(get(&mut ann, "k").await["value"], "two");
}

#[tokio::test]
async fn a_removed_key_is_told_as_null_and_not_there_any_more() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let mut old = mesh.old_peer("old", 1).await;
    let remove = |version: Option<u64>| match version {
        Some(version) => json!({"type": "delete_state", "key": "k", "ifVersion": version}),
        None => json!({"type": "delete_state", "key": "k"}),
    };
    set(&mut ann, "k", json!(1)).await;
    for peer in [&mut bob, &mut old] {
        change(peer, "k").await;
    }

    let refused = ann.call(remove(Some(7))).await;
    assert_eq!(
        (&refused["code"], &refused["current"]["version"]),
        (&json!("version_mismatch"), &json!(1))
    );
    assert_eq!(ann.call(remove(Some(1))).await["version"], 2);

    let told = change(&mut bob, "k").await;
    assert_eq!(
        told,
        json!({"type": "state_change", "key": "k", "value": null, "updatedBy": "ann",
                            "version": 2, "deleted": true})
    );
    let told = change(&mut old, "k").await;
    assert_eq!(
        told,
        json!({"type": "state_change", "key": "k", "value": null,
                            "updatedBy": "ann"})
    );
    assert_eq!(get(&mut bob, "k").await["version"], 0);
    assert_eq!(keys(&mut bob, json!({"type": "list_state"})).await, Vec::<String>::new());
    assert_eq!(ann.call(remove(None)).await["code"], "not_found");
    assert_eq!(set(&mut ann, "k", json!(2)).await["version"], 3, "versions go on");
}

#[tokio::test]
async fn a_key_whose_time_is_over_is_not_there() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let brief = json!({"type": "set_state", "key": "k", "value": 1, "ttlSeconds": 60});
    ann.call(brief).await;
    let told = change(&mut bob, "k").await;
    let entry = get(&mut bob, "k").await;
    let moment = |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let lasts = moment(&entry["expiresAt"]) - moment(&entry["updatedAt"]);
    assert_eq!(lasts.total(jiff::Unit::Second).unwrap().round(), 60.0);

    mesh.run("update state set expires_at = now() - interval '1 s'").await;

    assert_eq!(get(&mut bob, "k").await["version"], 0, "over, though nobody swept it");
    assert_eq!(keys(&mut bob, json!({"type": "list_state"})).await, Vec::<String>::new());
    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    skein_sql::sweep::state::expire(&db).await.unwrap();
    let gone = change(&mut bob, "k").await;
    assert_eq!((&gone["deleted"], &gone["value"]), (&json!(true), &Value::Null));
    assert!(gone["version"].as_u64() > told["version"].as_u64());
    change(&mut ann, "k").await;
    let again = json!({"type": "set_state", "key": "k", "value": 2, "ifVersion": 0});
    assert_eq!(ann.call(again).await["type"], "ack");
}

#[tokio::test]
async fn what_is_no_key_or_too_much_is_refused_with_the_number() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    ann.event("peer_joined").await;
    let set = |key: &str, value: Value| json!({"type": "set_state", "key": key, "value": value});
    let long = |n: usize| "x".repeat(n);
    let deep = |n: usize| (0..n).fold(json!(1), |value, _| json!([value]));
    let ttl = |s: u64| json!({"type": "set_state", "key": "t", "value": 1, "ttlSeconds": s});
    let (key_max, value_max) = (limit::STATE_KEY_BYTES_MAX, limit::STATE_VALUE_BYTES_MAX);

    for good in [
        set(&long(key_max), json!(1)),
        set("large", json!(long(value_max - 2))),
        set("deep", deep(limit::STATE_DEPTH_MAX)),
        ttl(1),
        ttl(limit::STATE_TTL_MAX.as_secs()),
    ] {
        assert_eq!(ann.call(good).await["type"], "ack");
        old.find(|f| f["type"] == "state_change").await;
    }
    for (bad, code, number) in [
        (set(&long(key_max + 1), json!(1)), "too_large", key_max),
        (set("large", json!(long(value_max - 1))), "too_large", value_max),
        (set("deep", deep(limit::STATE_DEPTH_MAX + 1)), "too_large", limit::STATE_DEPTH_MAX),
        (ttl(0), "invalid_message", 1),
        (ttl(limit::STATE_TTL_MAX.as_secs() + 1), "invalid_message", 1),
        (set("", json!(1)), "invalid_message", 0),
        (set("a\nb", json!(1)), "invalid_message", 0),
        (json!({"type": "set_state", "key": "k"}), "invalid_message", 0),
        (json!({"type": "set_state", "value": 1}), "invalid_message", 0),
        (json!({"type": "set_state", "key": 7, "value": 1}), "invalid_message", 0),
        (json!({"type": "get_state"}), "invalid_message", 0),
    ] {
        let refused = ann.call(bad.clone()).await;
        assert_eq!(refused["code"], code, "{refused}");
        let message = refused["message"].as_str().unwrap();
        assert!(number == 0 || message.contains(&number.to_string()), "{message}");
        old.send(&bad).await;
    }
    assert_eq!(old.rest().await, Vec::<Value>::new(), "an old client is told nothing");
    assert_eq!(get(&mut old, "large").await["value"].as_str().unwrap().len(), value_max - 2);
}

#[tokio::test]
async fn a_mesh_has_so_many_keys() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let max = limit::STATE_KEYS_MAX;
    mesh.run(&format!(
        "insert into state (mesh, key, value, version, updated_by, updated_at, xid)
         select {}, 'k' || n, '1', 1, 'x', now(), pg_current_xact_id()
           from generate_series(1, {max} - 1) as n",
        mesh.no
    ))
    .await;

    let (last, above) = (set(&mut ann, "a", json!(1)).await, set(&mut ann, "b", json!(1)).await);

    assert_eq!(last["type"], "ack");
    assert_eq!(above["code"], "state_full");
    assert!(above["message"].as_str().unwrap().contains(&max.to_string()), "{above}");
    assert_eq!(set(&mut ann, "k7", json!(2)).await["type"], "ack", "what is there is changed");
}

#[tokio::test]
async fn q09_a_key_that_is_not_there_is_answered_as_not_found() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    set(&mut ann, "null", Value::Null).await;
    change(&mut old, "null").await;

    let absent = get(&mut old, "nowhere").await;
    let null = get(&mut old, "null").await;

    let req_id = &absent["_reqId"];
    let expected = json!({"type": "state_result", "key": "", "value": null, "updatedBy": "",
                          "updatedAt": "", "_reqId": req_id});
    assert_eq!(absent, expected, "the reference's client prints `not found` for an empty key");
    assert_eq!((&null["key"], &null["value"]), (&json!("null"), &Value::Null));
    assert_eq!(null["updatedBy"], "ann");
}

#[tokio::test]
async fn q41_a_key_that_is_set_without_confirmation_is_set() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);

    ann.send(&json!({"type": "set_state", "key": "k", "value": 1})).await;
    let own = get(&mut ann, "k").await;

    assert_eq!(own["value"], 1, "its own next frame finds it");
    assert_eq!(change(&mut bob, "k").await["value"], 1);
    assert_eq!(ann.rest().await, Vec::<Value>::new());
}

#[tokio::test]
async fn q46_every_json_value_comes_back_as_it_was() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);

    for value in [
        "null",
        r#""123""#,
        r#""null""#,
        r#""{\"a\":1}""#,
        r#""""#,
        "123",
        "-0.0",
        "1e400",
        "12345678901234567890123456789012345678901234567890.000",
        r#"{"z":1,"a":2,"z":3}"#,
        "[1, 2 ,\t3]",
        r#""\u00e9 \/ é \ud83d\ude00""#,
        "false",
    ] {
        let frame = format!(r#"{{"type":"set_state","key":"k","value":{value}}}"#);
        ann.text(frame).await;
        let told = raw(&mut bob, "state_change").await;
        assert!(told.contains(&format!("\"value\":{value},")), "{value}: {told}");
        bob.text(r#"{"type":"get_state","key":"k"}"#.into()).await;
        let got = raw(&mut bob, "state_result").await;
        assert!(got.contains(&format!("\"value\":{value},")), "{value}: {got}");
        bob.text(r#"{"type":"list_state"}"#.into()).await;
        let listed = raw(&mut bob, "state_list").await;
        assert!(listed.contains(&format!("\"value\":{value},")), "{value}: {listed}");
    }
}
