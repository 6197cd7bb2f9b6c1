//! Memory: what is kept is found again by its words, on every edge, until it is forgotten.

use serde_json::{Value, json};
use skein_wire::limit;

use crate::harness::{OURS, Peer, TestMesh};

fn remember(content: &str, tags: &[&str]) -> Value {
    json!({"type": "remember", "content": content, "tags": tags})
}

fn recall(query: &str) -> Value {
    json!({"type": "recall", "query": query})
}

fn forget(id: &Value) -> Value {
    json!({"type": "forget", "memoryId": id})
}

/// Has a peer remember something; returns its id.
async fn keep(peer: &mut Peer, content: &str) -> Value {
    let stored = peer.call(remember(content, &[])).await;
    assert_eq!(stored["type"], "memory_stored", "{stored}");
    stored["id"].clone()
}

/// What a peer finds.
async fn found(peer: &mut Peer, query: &str) -> Vec<Value> {
    let results = peer.call(recall(query)).await;
    assert_eq!(results["type"], "memory_results", "{results}");
    results["memories"].as_array().unwrap().clone()
}

async fn contents(peer: &mut Peer, query: &str) -> Vec<String> {
    let found = found(peer, query).await;
    found.iter().map(|memory| memory["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_one_old_client_remembers_another_recalls_on_another_edge_as_the_contract_says() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);

    let stored = ann.call(remember("The parser lives in src/parse.", &["layout"])).await;
    let found = found(&mut bob, "where is the parser").await;

    let id = stored["id"].as_str().unwrap();
    assert!(!id.is_empty());
    let at = found[0]["rememberedAt"].clone();
    assert!(at.as_str().unwrap().ends_with('Z'), "{at}");
    let memory = json!({"id": id, "content": "The parser lives in src/parse.", "tags": ["layout"],
                        "rememberedBy": "ann", "rememberedAt": at});
    assert_eq!(found, [memory]);
}

#[tokio::test]
async fn words_are_read_as_english_and_all_of_them_must_be_there() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    for content in ["red apples", "a red banana", "green apples are sour"] {
        keep(&mut ann, content).await;
    }

    assert_eq!(contents(&mut ann, "apple red").await, ["red apples"]);
    assert_eq!(contents(&mut ann, "the APPLES of redness").await, ["red apples"]);
    assert_eq!(contents(&mut ann, "red").await.len(), 2);
    for nothing in ["", "  ", "the of and", "&|!():*<->", "red zebra", "'"] {
        assert_eq!(contents(&mut ann, nothing).await, Vec::<String>::new(), "{nothing:?}");
    }
}

#[tokio::test]
async fn the_best_come_first_and_twenty_at_most() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.old_peer("ann", 0).await;
    for n in 0..25 {
        keep(&mut ann, &format!("one deploy in note {n}")).await;
    }
    keep(&mut ann, "deploy, deploy and deploy again").await;
    keep(&mut ann, "nothing of that kind").await;

    let contents = contents(&mut ann, "deploy").await;

    assert_eq!(contents.len(), 20);
    assert_eq!(contents[0], "deploy, deploy and deploy again");
    assert_eq!(contents[1], "one deploy in note 24", "of equals the newest");
}

#[tokio::test]
async fn ours_are_told_why_something_was_found_and_who_wrote_it() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    ann.call(remember("Kubernetes keeps its secrets in etcd", &["cluster"])).await;
    let cases = [
        ("secret in kubernetes", "words", json!(["kubernet", "secret"])),
        ("clusters", "words", json!(["cluster"])),
        ("secre kuber", "prefix", json!(["secrets", "kubernetes"])),
        ("kuberntes", "similar", json!(["kubernetes"])),
        ("secert of KUBERNTES", "similar", json!(["secrets", "kubernetes"])),
    ];

    for (query, kind, terms) in cases {
        let found = found(&mut bob, query).await;

        assert_eq!(found.len(), 1, "{query}");
        assert_eq!(
            (&found[0]["match"]["kind"], &found[0]["match"]["terms"]),
            (&json!(kind), &terms)
        );
        assert!(found[0]["match"]["score"].as_f64().unwrap() > 0.0, "{query}");
        let author = json!({"memberId": ann.member.id, "memberPubkey": ann.member.keys.public.hex(),
                            "sessionPubkey": ann.key(), "sessionName": "ann"});
        assert_eq!(found[0]["author"], author);
    }
    for query in ["postgres", "etc/passwd", "kubernetes postgres"] {
        assert_eq!(contents(&mut bob, query).await, Vec::<String>::new(), "{query}");
    }
}

#[tokio::test]
async fn letters_of_any_kind_are_only_letters() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let contents_kept =
        ["O'Brien's note", r"back\slash'quote", "Ärger in Köln", "日本語の文書", "x:* & !y | (z)"];
    for content in contents_kept {
        keep(&mut ann, content).await;
    }

    for (query, content) in [
        ("o'brien", "O'Brien's note"),
        (r"slash'quote", r"back\slash'quote"),
        ("köln", "Ärger in Köln"),
        ("日本語の文書", "日本語の文書"),
        ("x & z", "x:* & !y | (z)"),
    ] {
        let found = contents(&mut ann, query).await;
        assert!(found.iter().any(|found| found == content), "{query}: {found:?}");
    }
}

#[tokio::test]
async fn what_is_forgotten_is_never_recalled_in_any_way() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let id = keep(&mut ann, "the password is swordfish").await;
    for query in ["swordfish", "swordf", "swrodfish"] {
        assert_eq!(contents(&mut bob, query).await.len(), 1, "{query}");
    }

    let ack = ann.call(forget(&id)).await;

    assert_eq!(
        (&ack["type"], &ack["id"], &ack["messageId"], &ack["queued"]),
        (&json!("ack"), &id, &id, &json!(false))
    );
    for query in ["swordfish", "swordf", "swrodfish", "password"] {
        assert_eq!(contents(&mut bob, query).await.len(), 0, "{query}");
        assert_eq!(contents(&mut ann, query).await.len(), 0, "{query}");
    }
    assert_eq!(ann.call(forget(&id)).await["type"], "ack", "a second time is as good");
}

#[tokio::test]
async fn the_author_and_admins_may_have_it_forgotten_and_nobody_else() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let mut old = mesh.old_peer("old", 1).await;
    let again = Peer::connect(&mesh.edges[1], &ann.member, skein_crypto::Keypair::generate(), OURS);
    let mut again = again.await;
    let first = keep(&mut ann, "first word").await;
    let second = keep(&mut ann, "second word").await;

    let refused = bob.call(forget(&first)).await;
    assert_eq!(refused["code"], "forbidden", "{refused}");
    // Contract: it is acknowledged whatever becomes of it.
    let ack = old.call(forget(&first)).await;
    assert_eq!((&ack["type"], &ack["id"], &ack["messageId"]), (&json!("ack"), &first, &first));
    assert_eq!(contents(&mut old, "word").await.len(), 2);

    assert_eq!(again.call(forget(&first)).await["type"], "ack", "another session of its author");
    mesh.run("update member set role = 'admin' where display_name = 'bob'").await;
    assert_eq!(bob.call(forget(&second)).await["type"], "ack");
    assert_eq!(contents(&mut old, "word").await.len(), 0);
}

#[tokio::test]
async fn who_is_an_admin_elsewhere_or_revoked_is_none_here() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let (other, no) = mesh.other_mesh().await;
    let eve = mesh.member_of(&other, no, "eve").await;
    let mut eve =
        Peer::connect(&mesh.edges[0], &eve, skein_crypto::Keypair::generate(), OURS).await;
    mesh.run("update member set role = 'admin' where display_name = 'eve'").await;
    let id = keep(&mut ann, "a secret word").await;

    assert_eq!(eve.call(forget(&id)).await["code"], "not_found");
    assert_eq!(contents(&mut eve, "secret").await.len(), 0);
    assert_eq!(contents(&mut eve, "secr").await.len(), 0);
    assert_eq!(contents(&mut ann, "secret").await.len(), 1);
}

#[tokio::test]
async fn an_unknown_memory_is_told_to_ours_and_acknowledged_to_old_clients() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    let unknown = json!("no-such-memory");

    assert_eq!(ann.call(forget(&unknown)).await["code"], "not_found");
    let ack = old.call(forget(&unknown)).await;
    assert_eq!((&ack["type"], &ack["messageId"]), (&json!("ack"), &unknown));
    old.send(&forget(&unknown)).await;
    old.send(&json!({"type": "forget"})).await;
    assert_eq!(old.rest().await, Vec::<Value>::new(), "nothing is waited for without `_reqId`");
}

#[tokio::test]
async fn a_memory_its_tags_a_query_and_how_many_there_are_have_limits() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let x = |n: usize| "x".repeat(n);
    let words = |n: usize| (0..n).map(|n| format!("word{n} ")).collect::<String>();
    let tags = |n: usize, len: usize| {
        json!({"type": "remember", "content": "c",
                                             "tags": vec![x(len); n]})
    };

    for (frame, wanted) in [
        (remember(&x(limit::MEMORY_BYTES_MAX), &[]), "memory_stored"),
        (remember(&x(limit::MEMORY_BYTES_MAX + 1), &[]), "too_large"),
        (tags(limit::TAGS_MAX, limit::TAG_BYTES_MAX), "memory_stored"),
        (tags(limit::TAGS_MAX + 1, 1), "too_large"),
        (tags(1, limit::TAG_BYTES_MAX + 1), "too_large"),
        (recall(&x(limit::RECALL_QUERY_BYTES_MAX)), "memory_results"),
        (recall(&x(limit::RECALL_QUERY_BYTES_MAX + 1)), "too_large"),
        (recall(&words(limit::RECALL_WORDS_MAX)), "memory_results"),
        (recall(&words(limit::RECALL_WORDS_MAX + 1)), "too_large"),
        (json!({"type": "remember"}), "invalid_message"),
        (json!({"type": "recall"}), "invalid_message"),
    ] {
        let answer = ann.call(frame).await;
        let word = if answer["type"] == "error" { &answer["code"] } else { &answer["type"] };
        assert_eq!(word, wanted);
    }

    let max = limit::MEMORIES_MAX;
    mesh.run(&format!("update memory_count set n = {max} - 1")).await;
    let last = keep(&mut ann, "the last").await;
    assert_eq!(ann.call(remember("one more", &[])).await["code"], "memory_full");
    ann.call(forget(&last)).await;
    keep(&mut ann, "there is room again").await;
}

#[tokio::test]
async fn the_longest_answer_of_the_worst_letters_fits_a_frame() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let worst = format!("{} deploy", "\u{1}".repeat(limit::MEMORY_BYTES_MAX - 7));
    for _ in 0..20 {
        keep(&mut ann, &worst).await;
    }

    assert_eq!(contents(&mut ann, "deploy").await.len(), 20);
}
