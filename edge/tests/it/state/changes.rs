//! Who is told of a change, when, and in which order.

use serde_json::{Value, json};
use skein_crypto::Keypair;

use super::{
    change,
    crowd::{View, settle, truth},
    set,
};
use crate::harness::{OLD, OURS, Peer, TestMesh};

#[tokio::test]
async fn everybody_but_the_session_that_set_it_is_told() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let member = ann.member.clone();
    let mut second = Peer::connect(&mesh.edges[1], &member, Keypair::generate(), OLD).await;
    bob.call(json!({"type": "set_visible", "visible": false})).await;
    bob.call(json!({"type": "set_status", "status": "dnd"})).await;

    set(&mut ann, "k", json!(1)).await;

    for peer in [&mut bob, &mut second] {
        assert_eq!(change(peer, "k").await["value"], 1);
    }
    assert_eq!(ann.quiet(|f| f["type"] == "state_change").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_mesh_hears_nothing_of_another() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    let (other, no) = mesh.other_mesh().await;
    let eve = mesh.member_of(&other, no, "eve").await;
    let mut eve = Peer::connect(&mesh.edges[1], &eve, Keypair::generate(), OURS).await;
    let mut bob = mesh.peer("bob", 1).await;

    set(&mut ann, "k", json!("the truth")).await;
    change(&mut bob, "k").await;

    assert_eq!(eve.quiet(|f| f["type"] == "state_change").await, Vec::<Value>::new());
    assert_eq!(eve.call(json!({"type": "get_state", "key": "k"})).await["version"], 0);
    let list = eve.call(json!({"type": "list_state"})).await;
    assert_eq!(list["entries"], json!([]));
    let gone = eve.call(json!({"type": "delete_state", "key": "k"})).await;
    assert_eq!(gone["code"], "not_found");
    set(&mut eve, "k", json!("a lie")).await;
    assert_eq!(bob.quiet(|f| f["type"] == "state_change").await, Vec::<Value>::new());
    let kept = bob.call(json!({"type": "get_state", "key": "k"})).await;
    assert_eq!(kept["value"], "the truth");
}

#[tokio::test]
async fn a_session_hears_what_comes_after_its_hello_and_not_what_came_before() {
    let mesh = TestMesh::start(2).await;
    let mut ann = mesh.peer("ann", 0).await;
    set(&mut ann, "before", json!(1)).await;

    let mut bob = mesh.peer("bob", 1).await;
    set(&mut ann, "after", json!(1)).await;

    change(&mut bob, "after").await;
    // Longer than a look takes to come.
    let member = bob.member.clone();
    let heard = tokio::time::timeout(skein_wire::limit::LOOK_INTERVAL * 2, async {
        change(&mut bob, "before").await
    });
    assert!(heard.await.is_err(), "{} hears of its past", member.name);
}

#[tokio::test]
async fn two_who_set_a_key_at_once_end_with_the_same() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let mut cat = mesh.peer("cat", 1).await;

    for n in 0..20 {
        let by =
            |name: &str| json!({"type": "set_state", "key": "k", "value": format!("{name}{n}")});
        tokio::join!(ann.text(by("ann").to_string()), bob.text(by("bob").to_string()));
    }
    // Its answer comes after what was sent before it is done.
    for peer in [&mut ann, &mut bob] {
        peer.call(json!({"type": "get_state", "key": "nowhere"})).await;
    }

    let truth = truth(&mut cat).await;
    for (peer, own) in [(&mut ann, "ann19"), (&mut bob, "bob19")] {
        let view = View::from([("k".to_owned(), json!(own))]);
        settle(peer, view, &truth).await;
    }
    settle(&mut cat, View::new(), &truth).await;
}

#[tokio::test]
async fn with_every_notification_lost_the_last_value_is_found() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    // As if each had been lost: nobody is there to hear it.
    mesh.run("select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %'")
        .await;

    for n in 0..50 {
        set(&mut ann, "k", json!(n)).await;
    }
    ann.call(json!({"type": "delete_state", "key": "k"})).await;

    let is_last = |f: &Value| f["type"] == "state_change" && f["deleted"] == true;
    assert_eq!(bob.find(is_last).await["version"], 51);
}
