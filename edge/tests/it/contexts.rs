//! Contexts: shared, told, found and listed.

use serde_json::{Value, json};
use skein_crypto::Keypair;
use skein_wire::limit;

use crate::harness::{OLD, Peer, TestMesh};

fn share(summary: &str, tags: &[&str]) -> Value {
    json!({"type": "share_context", "summary": summary, "filesRead": ["a.rs"],
           "keyFindings": ["it recurses"], "tags": tags})
}

async fn told(peer: &mut Peer, name: &str) -> Value {
    let key = format!("_context:{name}");
    peer.find(|f| f["type"] == "state_change" && f["key"] == key.as_str()).await
}

#[tokio::test]
async fn a_context_is_told_found_and_listed_across_edges() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let mut cat = mesh.peer("cat", 1).await;
    let mut frame = share("The Parser is \"slow\"", &["rust"]);
    frame["_reqId"] = json!("r9");

    ann.send(&frame).await;
    let shared = ann.find(|f| f["type"] == "context_shared").await;

    assert!(shared.get("_reqId").is_none(), "as the contract says: {shared}");
    let expected = json!({"type": "state_change", "key": "_context:ann",
                          "value": "The Parser is \"slow\"", "updatedBy": "ann"});
    assert_eq!(told(&mut bob, "ann").await, expected);
    assert_eq!(told(&mut cat, "ann").await, expected, "nothing of it has a version");
    for query in ["parser", "IS \"S", "rust", ""] {
        let found = bob.call(json!({"type": "get_context", "query": query})).await;
        let context = &found["contexts"][0];
        let at = context["updatedAt"].clone();
        let expected = json!({"peerName": "ann", "summary": "The Parser is \"slow\"",
                              "filesRead": ["a.rs"], "keyFindings": ["it recurses"],
                              "tags": ["rust"], "updatedAt": at});
        assert_eq!(context, &expected, "{query}");
    }
    for query in ["rus", "Rust", "%", "lexer"] {
        let found = bob.call(json!({"type": "get_context", "query": query})).await;
        assert_eq!(found["contexts"], json!([]), "{query}");
    }
    let listed = bob.call(json!({"type": "list_contexts"})).await;
    let at = listed["contexts"][0]["updatedAt"].clone();
    assert!(at.as_str().unwrap().ends_with('Z'));
    let expected = json!([{"peerName": "ann", "summary": "The Parser is \"slow\"",
                           "tags": ["rust"], "updatedAt": at}]);
    assert_eq!(listed["contexts"], expected);
    let state = bob.call(json!({"type": "list_state"})).await;
    assert_eq!(state["entries"], json!([]), "no key of the state is written");
}

#[tokio::test]
async fn a_member_has_one_context_and_the_newest_is_first() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let member = ann.member.clone();
    let mut second = Peer::connect(&mesh.edges[0], &member, Keypair::generate(), OLD).await;

    let first = ann.call(share("one", &[])).await;
    bob.call(share("two", &[])).await;
    second.send(&json!({"type": "share_context", "summary": "three"})).await;
    let again = second.find(|f| f["type"] == "context_shared").await;

    assert_eq!(first["id"], again["id"], "the same row");
    assert_eq!(told(&mut ann, "ann").await["value"], "three", "a session of the member hears it");
    let listed = ann.call(json!({"type": "list_contexts"})).await;
    let summaries: Vec<_> = (0..2).map(|i| listed["contexts"][i]["summary"].clone()).collect();
    assert_eq!(
        (listed["contexts"].as_array().unwrap().len(), summaries),
        (2, vec![json!("three"), json!("two")])
    );
    let found = ann.call(json!({"type": "get_context", "query": "three"})).await;
    assert_eq!(found["contexts"][0]["keyFindings"], json!([]), "absent lists become empty");
}

#[tokio::test]
async fn two_members_of_one_name_are_both_told() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut twin) = (mesh.peer("ann", 0).await, mesh.peer("ann", 1).await);
    let mut bob = mesh.peer("bob", 1).await;

    for n in 0..3 {
        ann.call(share(&format!("hers {n}"), &[])).await;
        bob.find(|f| f["value"] == format!("hers {n}")).await;
    }
    twin.call(share("the other's", &[])).await;

    assert_eq!(bob.find(|f| f["value"] == "the other's").await["key"], "_context:ann");
}

#[tokio::test]
async fn a_search_finds_twenty_and_what_is_too_much_is_refused() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    mesh.run(&format!(
        "insert into member (id, mesh, pubkey, display_name, role)
         select 'm' || n, {0}, encode(sha256(n::text::bytea), 'hex'), 'm' || n, 'member'
           from generate_series(1, 25) n;
         insert into context (mesh, member, id, summary, updated_at, xid)
         select mesh, mailbox, id, 'same', now(), pg_current_xact_id()
           from member where mesh = {0} and id like 'm%' and display_name like 'm%'",
        mesh.no
    ))
    .await;

    let found = ann.call(json!({"type": "get_context", "query": "same"})).await;
    assert_eq!(found["contexts"].as_array().map(Vec::len), Some(20));
    let x = |n: usize| "x".repeat(n);
    let many = |n: usize| vec!["x"; n];
    for (field, good, bad) in [
        (
            "summary",
            json!(x(limit::CONTEXT_SUMMARY_BYTES_MAX)),
            json!(x(limit::CONTEXT_SUMMARY_BYTES_MAX + 1)),
        ),
        ("tags", json!(many(limit::TAGS_MAX)), json!(many(limit::TAGS_MAX + 1))),
        ("tags", json!([x(limit::TAG_BYTES_MAX)]), json!([x(limit::TAG_BYTES_MAX + 1)])),
        (
            "filesRead",
            json!(many(limit::CONTEXT_ITEMS_MAX)),
            json!(many(limit::CONTEXT_ITEMS_MAX + 1)),
        ),
        (
            "keyFindings",
            json!([x(limit::CONTEXT_ITEMS_BYTES_MAX)]),
            json!([x(limit::CONTEXT_ITEMS_BYTES_MAX + 1)]),
        ),
    ] {
        let mut frame = share("s", &[]);
        frame[field] = good;
        assert_eq!(ann.call(frame.clone()).await["type"], "context_shared", "{field}");
        told(&mut old, "ann").await;
        frame[field] = bad;
        let refused = ann.call(frame.clone()).await;
        assert_eq!(refused["code"], "too_large", "{field}");
        assert!(refused["message"].as_str().unwrap().contains(field), "{refused}");
        old.send(&frame).await;
    }
    old.send(&json!({"type": "share_context"})).await;
    let untold = old.rest().await;
    assert_eq!(untold, Vec::<Value>::new(), "no stray error to an old client");
}
