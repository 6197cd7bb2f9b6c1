//! Audit: what is in the log, that every edge gives the same, and that a change shows.

mod rest;

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json, value::RawValue};
use skein_crypto::{
    Keypair,
    audit::{Chain, Link},
};
use skein_sql::audit;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    harness::{OLD, OURS, Peer, SOON, TestMesh},
    web::{As, ask},
};

fn query() -> Value {
    json!({"type": "audit_query"})
}

async fn verify(peer: &mut Peer) -> Value {
    peer.call(json!({"type": "audit_verify"})).await
}

/// The newest entries of an event, as (actor, payload).
async fn entries(peer: &mut Peer, event: &str) -> Vec<(String, Value)> {
    let found = peer.call(json!({"type": "audit_query", "eventType": event})).await;
    assert_eq!(found["type"], "audit_result", "{found}");
    let entries = found["entries"].as_array().unwrap().iter();
    entries.map(|e| (e["actor"].as_str().unwrap().to_owned(), e["payload"].clone())).collect()
}

/// Puts this many entries into the log of the mesh.
async fn fill(mesh: &TestMesh, n: usize) {
    let no = mesh.no;
    mesh.run(&format!(
        "insert into audit_intake (mesh, event_type, actor_id, actor, payload)
         select {no}, 'state_set', 'm', 'ann', json_build_object('key', 'k', 'value', n)
           from generate_series(1, {n}) n"
    ))
    .await;
    let db = mesh.edges[0].edge.pool.get().await.unwrap();
    while audit::chain_alone(&db, mesh.no).await.unwrap() > 0 {}
}

/// Runs a statement on the log, past what guards it.
async fn tamper(mesh: &TestMesh, statement: &str) {
    mesh.run(&format!(
        "alter table audit disable trigger user; {statement}; alter table audit enable trigger user"
    ))
    .await;
}

#[tokio::test]
async fn who_comes_sends_and_goes_is_in_the_log_of_its_mesh_on_every_edge() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    let mut bob = mesh.old_peer("bob", 1).await;
    bob.send(&json!({"type": "join_group", "name": "dev", "role": "lead"})).await;
    bob.message(&ann.key(), "now", "one").await;
    bob.message("@dev", "low", "two").await;
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.close().await;
    ann.event("peer_left").await;
    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OLD).await;

    let joined = entries(&mut ann, "peer_joined").await;
    let left = entries(&mut bob, "peer_left").await;

    let group = json!([{"name": "dev", "role": "lead"}]);
    let came = |who: &Peer, groups: Value, restored: bool| {
        let payload = json!({"pubkey": who.key(), "groups": groups, "restored": restored});
        (who.member.name.clone(), payload)
    };
    let expected =
        [came(&bob, group, true), came(&bob, json!([]), false), came(&ann, json!([]), false)];
    assert_eq!(joined, expected, "newest first");
    assert_eq!(left, [("bob".to_owned(), json!({}))]);
    // Messages are looked for once a second at most.
    let sent = "select count(*) from message";
    mesh.until(sent, "2").await;
    let mut found = Vec::new();
    let looked = tokio::time::timeout(Duration::from_secs(20), async {
        while found.len() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            found = entries(&mut ann, "message_sent").await;
        }
    });
    looked.await.expect("they are found");
    found.sort_by_key(|entry| entry.1.to_string());
    let sent =
        |to: &str, priority| ("bob".to_owned(), json!({"targetSpec": to, "priority": priority}));
    let mut expected = vec![sent(&ann.key(), "now"), sent("@dev", "low")];
    expected.sort_by_key(|entry| entry.1.to_string());
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_query_is_answered_exactly_as_the_contract_says() {
    let mesh = TestMesh::start(1).await;
    fill(&mesh, 60).await;
    let mut old = mesh.old_peer("bob", 0).await;

    let plain = old.call(query()).await;
    let paged = old.call(json!({"type": "audit_query", "limit": 2, "offset": 5})).await;
    let none = old.call(json!({"type": "audit_query", "limit": 0, "eventType": "x"})).await;

    let mut fields: Vec<&String> = plain.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["_reqId", "entries", "total", "type"]);
    assert_eq!((plain["entries"].as_array().unwrap().len(), &plain["total"]), (50, &json!(61)));
    let newest = &plain["entries"][0];
    let mut fields: Vec<&String> = newest.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["actor", "createdAt", "eventType", "hash", "id", "payload"]);
    assert_eq!((&newest["id"], &newest["eventType"]), (&json!(61), &json!("peer_joined")));
    let ids: Vec<&Value> = paged["entries"].as_array().unwrap().iter().map(|e| &e["id"]).collect();
    assert_eq!(ids, [56, 55]);
    assert_eq!((&none["entries"], &none["total"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn ours_pages_stay_put_and_name_who_the_hash_means() {
    let mesh = TestMesh::start(1).await;
    fill(&mesh, 5).await;
    let mut ann = mesh.peer("ann", 0).await;

    let page = ann.call(json!({"type": "audit_query", "limit": 2, "before": 4})).await;
    let all = ann.call(query()).await;

    let ids: Vec<&Value> = page["entries"].as_array().unwrap().iter().map(|e| &e["id"]).collect();
    assert_eq!(ids, [3, 2]);
    assert_eq!(all["entries"][0]["actorId"], json!(ann.member.id));
}

#[tokio::test]
async fn q11_the_chain_verifies_whoever_writes_and_is_computed_again_from_what_was_said() {
    let mesh = TestMesh::start(2).await;
    let (mut old, mut ours) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 1).await);
    let mut others = tokio::task::JoinSet::new();
    for edge in [0, 1, 0, 1] {
        let member = mesh.member("eve").await;
        let peer = Peer::connect(&mesh.edges[edge], &member, Keypair::generate(), OURS).await;
        others.spawn(async move {
            let mut peer = peer;
            for n in 0..20 {
                peer.message(&format!("@group-{n}"), "next", "x").await;
                peer.call(query()).await;
            }
        });
    }
    others.join_all().await;

    let verified = [verify(&mut old).await, verify(&mut ours).await];
    // The text of the frame, not what a parser makes of it: the payload's bytes are hashed.
    ours.send(&json!({"type": "audit_query", "limit": 1000, "_reqId": "raw"})).await;
    let raw = raw(&mut ours, "raw").await;

    let n_entries = verified[0]["entries"].as_u64().unwrap();
    assert!(n_entries >= 6, "{verified:?}");
    for said in &verified {
        assert_eq!((&said["valid"], said.get("brokenAt")), (&json!(true), None), "{said}");
    }
    assert_eq!(again(&mesh.id, &raw), Ok(()));
}

#[derive(serde::Deserialize)]
struct Raw {
    entries: Vec<RawEntry>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntry {
    id: u64,
    event_type: String,
    actor_id: String,
    payload: Box<RawValue>,
    hash: String,
    created_at: String,
}

/// The answer to a request as it came over the socket.
async fn raw(peer: &mut Peer, req_id: &str) -> Raw {
    serde_json::from_str(&raw_text(peer, req_id).await).unwrap()
}

async fn raw_text(peer: &mut Peer, req_id: &str) -> String {
    let wanted = format!("\"_reqId\":\"{req_id}\"");
    loop {
        let next = tokio::time::timeout(SOON, peer.socket.next()).await;
        if let Some(Ok(Message::Text(text))) = next.expect("a frame comes")
            && text.contains(&wanted)
        {
            return text.as_str().to_owned();
        }
    }
}

/// Computes the chain again from its entries, newest first.
fn again(mesh_id: &str, said: &Raw) -> Result<(), u64> {
    let mut chain = Chain::start(mesh_id);
    said.entries.iter().rev().try_for_each(|entry| {
        chain.take(&Link {
            no: entry.id,
            event_type: &entry.event_type,
            actor: &entry.actor_id,
            payload: entry.payload.get(),
            created_at: &entry.created_at,
            hash: &entry.hash,
        })
    })
}

#[tokio::test]
async fn a_changed_deleted_or_added_entry_is_named_on_every_edge_and_over_rest() {
    let mesh = TestMesh::start(2).await;
    fill(&mesh, 30).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 1).await);
    assert_eq!(verify(&mut ann).await["valid"], true);

    tamper(&mesh, "update audit set payload = replace(payload, '7', '8') where no = 17").await;
    let changed = verify(&mut ann).await;
    tamper(&mesh, "delete from audit where no = 9").await;
    let deleted = verify(&mut bob).await;
    let target = format!("/v1/meshes/{}/audit/verify", mesh.id);
    let rest = ask(mesh.edges[1].port, As::Key(&bob.member.keys.secret), "GET", &target, "").await;

    assert_eq!((&changed["valid"], &changed["brokenAt"]), (&json!(false), &json!(17)));
    assert_eq!(changed["entries"], json!(32));
    assert_eq!((&deleted["valid"], &deleted["brokenAt"]), (&json!(false), &json!(9)));
    assert_eq!((&rest.json()["valid"], &rest.json()["brokenAt"]), (&json!(false), &json!(9)));
}

#[tokio::test]
async fn the_end_cannot_be_cut_off_nor_something_be_put_behind_it() {
    let mesh = TestMesh::start(1).await;
    fill(&mesh, 10).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    assert_eq!(verify(&mut ann).await["entries"], json!(11));

    tamper(&mesh, "delete from audit where no > 8").await;
    let cut_off = verify(&mut ann).await;
    let (other, no) = mesh.other_mesh().await;
    tamper(
        &mesh,
        &format!(
            "insert into audit (mesh, no, event_type, actor_id, actor, payload, created_at, hash)
             values ({no}, 1, 'x', 'x', 'x', '{{}}', now(), repeat('0', 64))"
        ),
    )
    .await;
    let member = mesh.member_of(&other, no, "eve").await;
    let target = format!("/v1/meshes/{other}/audit/verify");
    let added =
        ask(mesh.edges[0].port, As::Key(&member.keys.secret), "GET", &target, "").await.json();

    assert_eq!(cut_off["brokenAt"], json!(9), "{cut_off}");
    assert_eq!((&added["valid"], &added["brokenAt"]), (&json!(false), &json!(1)), "{added}");
}

#[tokio::test]
async fn a_long_log_is_verified_in_parts_and_each_says_where_the_next_begins() {
    let mesh = TestMesh::start(1).await;
    fill(&mesh, 2_500).await;
    let pool = &mesh.edges[0].edge.pool;
    let part = async |after| {
        let time = Duration::ZERO;
        skein_edge::audit::verify(pool, mesh.no, &mesh.id, after, time).await.unwrap()
    };

    let (first, second, last) = (part(0).await, part(1000).await, part(2000).await);
    tamper(&mesh, "update audit set actor_id = 'x' where no = 2100").await;
    let (before, broken) = (part(0).await, part(2000).await);

    assert_eq!((first.valid, first.entries, first.next), (true, 1000, Some(1000)));
    assert_eq!((second.valid, second.next), (true, Some(2000)));
    // The time is over, and so is the log.
    assert_eq!((last.valid, last.next), (true, Some(2500)));
    let end = part(2500).await;
    assert_eq!((end.valid, end.entries, end.next), (true, 2500, None));
    assert_eq!((before.valid, before.broken_at), (true, None));
    assert_eq!((broken.valid, broken.broken_at), (false, Some(2100)));
    assert_eq!(part(9999).await.broken_at, Some(9999), "behind an entry that is not there");
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_an_error_with_the_contracts_code() {
    let mesh = TestMesh::start(1).await;
    let (mut old, mut ours) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 0).await);
    mesh.run("alter table audit rename to gone").await;

    for peer in [&mut old, &mut ours] {
        let queried = peer.call(query()).await;
        let verified = verify(peer).await;
        assert_eq!(
            (&queried["type"], &queried["code"]),
            (&json!("error"), &json!("audit_query_error"))
        );
        assert_eq!(verified["code"], "audit_verify_error");
    }
}

#[tokio::test]
async fn a_wrong_field_is_named_to_ours_and_no_word_to_an_old_client() {
    let mesh = TestMesh::start(1).await;
    let (mut old, mut ours) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 0).await);
    old.event("peer_joined").await;

    for wrong in [
        json!({"type": "audit_query", "limit": -1}),
        json!({"type": "audit_query", "offset": "x"}),
        json!({"type": "audit_query", "eventType": 7}),
        json!({"type": "audit_verify", "after": 0.5}),
    ] {
        old.send(&wrong).await;
        assert_eq!(ours.call(wrong.clone()).await["code"], "invalid_message", "{wrong}");
    }

    assert_eq!(old.rest().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_foreign_mesh_has_a_log_of_its_own_and_strangers_have_none() {
    let mesh = TestMesh::start(1).await;
    fill(&mesh, 7).await;
    let (other, no) = mesh.other_mesh().await;
    let eve = mesh.member_of(&other, no, "eve").await;
    let mut foreign = Peer::connect(&mesh.edges[0], &eve, Keypair::generate(), OURS).await;
    let port = mesh.edges[0].port;
    let stranger = Keypair::generate();

    let seen = foreign.call(query()).await;
    let verified = verify(&mut foreign).await;

    assert_eq!(seen["total"], json!(1), "only that eve came: {seen}");
    assert_eq!((&verified["valid"], &verified["entries"]), (&json!(true), &json!(1)));
    for rest in ["/audit", "/audit/verify"] {
        let target = format!("/v1/meshes/{}{rest}", mesh.id);
        for who in [As::Key(&eve.keys.secret), As::Key(&stranger.secret)] {
            let answer = ask(port, who, "GET", &target, "").await;
            assert_eq!(answer.refusal(), (404, "not_found".to_owned()), "{rest}");
        }
        let nobody = ask(port, As::Nobody, "GET", &target, "").await;
        assert_eq!(nobody.refusal(), (401, "unauthorized".to_owned()));
    }
}

#[tokio::test]
async fn what_is_set_in_the_state_is_in_the_log_as_it_was_sent_or_by_its_hash_when_large() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.peer("bob", 1).await);
    let large = "x".repeat(2000);
    ann.text(r#"{"type":"set_state","key":"k","value":{"b": 1, "a": [null, "x y"]}}"#.into()).await;
    ann.rest().await;
    bob.call(json!({"type": "set_state", "key": "k", "value": large})).await;
    bob.call(json!({"type": "set_state", "key": "k", "value": 3, "ifVersion": 9})).await;
    bob.call(json!({"type": "delete_state", "key": "k"})).await;
    bob.call(json!({"type": "delete_state", "key": "k"})).await;

    ann.send(&json!({"type": "audit_query", "eventType": "state_set", "_reqId": "raw"})).await;
    let set = raw_text(&mut ann, "raw").await;
    let deleted = entries(&mut bob, "state_deleted").await;

    let payload = r#""payload":{"key":"k","value":{"b":1,"a":[null,"x y"]}}"#;
    assert!(set.contains(payload), "{set}");
    let hash = skein_crypto::audit::digest(&json!(large).to_string());
    let by_hash = format!(r#""payload":{{"key":"k","valueSha256":"{hash}","valueBytes":2002}}"#);
    assert!(set.contains(&by_hash) && !set.contains("xxx"), "{set}");
    assert!(set.contains(r#""total":2"#), "what was refused is not in the log: {set}");
    assert_eq!(deleted, [("bob".to_owned(), json!({"key": "k"}))]);
    assert_eq!(verify(&mut bob).await["valid"], true);
}
