//! State, memory, contexts, skills, the overview and the audit log, between clients of 0.8.9 and
//! ours, across edges, both ways.

use serde_json::{Value, json};

use super::{client, member, peer::Client};
use crate::{harness::TestMesh, state::change};

/// An old client and one of ours, on two edges.
async fn both(mesh: &TestMesh) -> (Client, crate::harness::Peer) {
    (client(mesh, "ann", 0).await, mesh.peer("bob", 1).await)
}

/// Asserts that nothing came which harms what waits.
async fn is_undisturbed(client: &Client) {
    assert_eq!(client.strays().await, Vec::<Value>::new());
    assert_eq!(client.errors(), Vec::<Value>::new());
}

#[tokio::test]
async fn line_7_a_key_that_either_sets_is_a_line_for_the_other_and_an_answer_for_neither() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = both(&mesh).await;
    let cid = client(&mesh, "cid", 1).await;

    ann.set_state("build", json!({"ok": true, "n": 7}));
    assert_eq!(change(&mut bob, "build").await["value"], json!({"ok": true, "n": 7}));
    let line = cid.line("[state] build").await;
    assert_eq!(line.text, r#"[state] build = {"n":7,"ok":true} (set by ann)"#);
    bob.call(json!({"type": "set_state", "key": "build", "value": "red"})).await;
    for peer in [&ann, &cid] {
        let line = peer.line("[state]").await;
        assert_eq!(line.text, r#"[state] build = "red" (set by bob)"#);
        let contract = json!({"type": "state_change", "key": "build", "value": "red",
                              "updatedBy": "bob"});
        assert_eq!(line.raw, contract, "no word of ours");
    }

    let entry = ann.get_state("build").await.unwrap().expect("it is there");
    assert_eq!((&entry["value"], &entry["updatedBy"]), (&json!("red"), &json!("bob")));
    assert_eq!(cid.list_state().await.unwrap()[0]["key"], "build");
    assert_eq!(ann.get_state("nowhere").await.unwrap(), None, "not found");
    is_undisturbed(&ann).await;
    is_undisturbed(&cid).await;
}

#[tokio::test]
async fn line_7_keys_that_are_refused_disturb_no_read_that_waits() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = both(&mesh).await;
    bob.call(json!({"type": "set_state", "key": "k", "value": 1})).await;
    let set = |key: &str, value: Value| json!({"type": "set_state", "key": key, "value": value});

    for frame in [
        set("", json!(1)),
        set(&"x".repeat(1000), json!(1)),
        set("k", json!("x".repeat(300_000))),
        json!({"type": "set_state", "key": "k"}),
        json!({"type": "set_state", "key": "k", "value": 2, "ifVersion": 9}),
    ] {
        ann.tell(&frame);
        let (read, listed) = tokio::join!(ann.get_state("k"), async {
            ann.tell(&frame);
            ann.list_state().await
        });
        assert_eq!(read.unwrap().unwrap()["value"], 1);
        assert_eq!(listed.unwrap().len(), 1);
    }
    is_undisturbed(&ann).await;
}

#[tokio::test]
async fn memories_of_either_are_recalled_by_the_other_and_forgotten_without_a_word() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = both(&mesh).await;

    let hers = ann.remember("the parser is in src/parse", &["layout"]).await.unwrap();
    let his = json!({"type": "remember", "content": "parsers recurse"});
    let his = bob.call(his).await["id"].as_str().unwrap().to_owned();
    let found = bob.call(json!({"type": "recall", "query": "where is the parser"})).await;
    let ids = |found: &[Value]| {
        let ids = found.iter().map(|memory| memory["id"].as_str().unwrap().to_owned());
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    let both = [hers.clone(), his.clone()].into();
    assert_eq!(ids(found["memories"].as_array().unwrap()), both);
    let found = ann.recall("where is the parser").await.unwrap();
    assert_eq!(ids(&found), both);
    for memory in &found {
        let fields: Vec<&String> = memory.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["content", "id", "rememberedAt", "rememberedBy", "tags"], "{memory}");
    }
    assert_eq!(ann.recall("of the").await.unwrap(), Vec::<Value>::new());

    // Hers, his, which is not hers to forget, and nobody's; a recall is under way.
    for id in [hers.as_str(), &his, "nothing"] {
        ann.forget(id);
        assert!(ann.recall("parser").await.is_ok());
    }

    let left = bob.call(json!({"type": "recall", "query": "parser"})).await;
    assert_eq!(ids(left["memories"].as_array().unwrap()), [his].into());
    is_undisturbed(&ann).await;
}

#[tokio::test]
async fn line_3_a_context_is_shared_without_an_answer_that_counts_and_told_as_a_line() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = both(&mesh).await;
    let cid = client(&mesh, "cid", 1).await;

    ann.share_context("the parser is slow", &["it recurses"], &["rust"]);
    assert_eq!(change(&mut bob, "_context:ann").await["value"], "the parser is slow");
    let line = cid.line("[state]").await;
    assert_eq!(line.text, r#"[state] _context:ann = "the parser is slow" (set by ann)"#);
    bob.call(json!({"type": "share_context", "summary": "the lexer is fast"})).await;
    let line = ann.line("[state]").await;
    assert_eq!(line.text, r#"[state] _context:bob = "the lexer is fast" (set by bob)"#);

    let found = cid.get_context("RUST").await.unwrap();
    assert_eq!(found, Vec::<Value>::new(), "a tag is found as it is written");
    let found = cid.get_context("rust").await.unwrap();
    let context = json!({"peerName": "ann", "summary": "the parser is slow",
                         "filesRead": ["a.rs"], "keyFindings": ["it recurses"],
                         "tags": ["rust"], "updatedAt": found[0]["updatedAt"]});
    assert_eq!(found, [context]);
    let listed = ann.list_contexts().await.unwrap();
    let names: Vec<&Value> = listed.iter().map(|context| &context["peerName"]).collect();
    assert_eq!(names, ["bob", "ann"]);
    is_undisturbed(&ann).await;
    let ignored = ann.ignored();
    assert_eq!((ignored.len(), &ignored[0]["type"]), (1, &json!("context_shared")));
    assert!(ignored[0].get("_reqId").is_none() && ignored[0]["id"] != "", "{ignored:?}");
    // One that is refused has no answer at all.
    ann.share_context(&"x".repeat(20_000), &[], &[]);
    assert_eq!(ann.list_contexts().await.unwrap().len(), 2);
    assert_eq!(ann.ignored().len(), 1);
    is_undisturbed(&ann).await;
}

#[tokio::test]
async fn skills_of_either_are_read_by_the_other_and_kept_from_it() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = both(&mesh).await;

    assert_eq!(ann.share_skill("deploy", "1. ship").await.unwrap(), "shared");
    let share = json!({"type": "share_skill", "name": "review", "description": "reads",
                       "instructions": "1. read"});
    bob.call(share).await;

    let got = bob.call(json!({"type": "get_skill", "name": "deploy"})).await;
    assert_eq!(
        (&got["skill"]["instructions"], &got["skill"]["author"]),
        (&json!("1. ship"), &json!("ann"))
    );
    let review = ann.get_skill("review").await.unwrap().expect("it is there");
    assert_eq!((&review["instructions"], &review["tags"]), (&json!("1. read"), &json!([])));
    assert_eq!(ann.get_skill("nothing").await.unwrap(), None, "not found");
    let names = |skills: Vec<Value>| skills.iter().map(|it| it["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(ann.list_skills(None).await.unwrap()), ["deploy", "review"]);
    assert_eq!(names(ann.list_skills(Some("OPS")).await.unwrap()), ["deploy"]);
    assert_eq!(ann.remove_skill("review").await.unwrap(), "not_found", "it is his");
    assert_eq!(ann.remove_skill("deploy").await.unwrap(), "removed");
    assert_eq!(ann.remove_skill("deploy").await.unwrap(), "not_found");
    is_undisturbed(&ann).await;
    // A refusal of what it waits for is the answer to that.
    let why = ann.share_skill("review", "2. mine").await.unwrap_err();
    assert!(why.starts_with("skill_taken: "), "{why}");
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_either_did_is_in_the_others_overview() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = both(&mesh).await;
    ann.join_group("dev");
    ann.set_state("a", json!(1));
    ann.create_stream("ci").await.unwrap();
    bob.call(json!({"type": "set_state", "key": "b", "value": 1})).await;
    bob.call(json!({"type": "remember", "content": "x"})).await;
    bob.call(json!({"type": "create_task", "title": "x"})).await;

    let mut info = ann.mesh_info().await.unwrap();
    info.as_object_mut().unwrap().remove("_reqId");

    let expected = json!({
        "type": "mesh_info_result", "mesh": mesh.id, "peers": 2, "groups": ["@dev"],
        "stateKeys": ["a", "b"], "memoryCount": 1, "fileCount": 0,
        "tasks": {"open": 1, "claimed": 0, "done": 0}, "streams": ["ci"], "tables": [],
        "collections": [], "yourName": "ann", "yourGroups": [{"name": "dev"}],
    });
    assert_eq!(info, expected);
    let theirs = bob.call(json!({"type": "mesh_info"})).await;
    assert_eq!((&theirs["streams"], &theirs["yourName"]), (&json!(["ci"]), &json!("bob")));
    is_undisturbed(&ann).await;
}

#[tokio::test]
async fn q27_what_an_old_client_leaves_has_the_name_of_its_enrolment() {
    let mesh = TestMesh::start(2).await;
    let mut config = member(&mesh, "host-4711", 0).await;
    config.display_name = Some("Ann".to_owned());
    let (ann, mut bob) = (Client::open(&config).await, mesh.peer("bob", 1).await);
    bob.call(json!({"type": "subscribe", "stream": "s"})).await;
    assert_eq!(ann.me().await["displayName"], "Ann");

    ann.set_state("k", json!(1));
    ann.share_context("c", &[], &[]);
    ann.publish("s", json!(1));
    ann.create_stream("s").await.unwrap();
    ann.share_skill("deploy", "x").await.unwrap();
    ann.remember("parser", &[]).await.unwrap();
    let task = ann.create_task("x", None).await.unwrap();
    ann.claim_task(&task);
    ann.peers().await;

    assert_eq!(change(&mut bob, "k").await["updatedBy"], "host-4711");
    assert_eq!(change(&mut bob, "_context:host-4711").await["updatedBy"], "host-4711");
    let data = bob.find(|f| f["type"] == "stream_data").await;
    assert_eq!(data["publishedBy"], "host-4711");
    for (ask, name) in [
        (json!({"type": "get_state", "key": "k"}), "/updatedBy"),
        (json!({"type": "list_state"}), "/entries/0/updatedBy"),
        (json!({"type": "get_context", "query": "c"}), "/contexts/0/peerName"),
        (json!({"type": "list_contexts"}), "/contexts/0/peerName"),
        (json!({"type": "list_streams"}), "/streams/0/createdBy"),
        (json!({"type": "get_skill", "name": "deploy"}), "/skill/author"),
        (json!({"type": "list_skills"}), "/skills/0/author"),
        (json!({"type": "recall", "query": "parser"}), "/memories/0/rememberedBy"),
        (json!({"type": "list_tasks"}), "/tasks/0/createdBy"),
        (json!({"type": "list_tasks"}), "/tasks/0/claimedBy"),
    ] {
        let answer = bob.call(ask).await;
        assert_eq!(answer.pointer(name), Some(&json!("host-4711")), "{name}: {answer}");
    }
    is_undisturbed(&ann).await;
}

#[tokio::test]
async fn answers_to_what_it_never_asks_are_ignored() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = both(&mesh).await;
    bob.call(json!({"type": "set_state", "key": "k", "value": 1})).await;

    // No command of 0.8.9 says these; other clients of the contract do.
    ann.tell(&json!({"type": "audit_query", "_reqId": "q"}));
    ann.tell(&json!({"type": "audit_verify"}));
    ann.peers().await;

    let ignored = ann.ignored();
    assert_eq!((&ignored[0]["type"], &ignored[0]["_reqId"]), (&json!("audit_result"), &json!("q")));
    assert!(ignored[0]["total"].as_u64().unwrap() >= 3, "{ignored:?}");
    assert_eq!(
        (&ignored[1]["type"], &ignored[1]["valid"]),
        (&json!("audit_verify_result"), &json!(true))
    );
    is_undisturbed(&ann).await;
}
