//! Sessions that hide get what webhooks without a target are given, as everybody who is attached.

use serde_json::{Value, json};

use super::{create, path, post};
use crate::harness::{OURS, Peer, TestMesh};

#[tokio::test]
async fn a_post_reaches_a_session_once_that_hides_or_shows_itself_at_that_moment() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let ack = create(&mut ann, json!({"name": "ci"})).await;

    // The database knows of a change before the session's edge does, and may be asked in between.
    for (n, (known, stored)) in [(true, false), (false, true)].into_iter().enumerate() {
        for peer in [&mut ann, &mut bob] {
            peer.call(json!({"type": "set_visible", "visible": known})).await;
        }
        mesh.run(&format!("update session set visible = {stored}")).await;

        assert_eq!(post(&mesh, n, &path(&ack), &json!([n]).to_string()).await.status, 200);

        for peer in [&mut ann, &mut bob] {
            let push = peer.push().await;
            assert_eq!(push["eventData"], json!([n]), "{}", peer.member.name);
            assert_eq!(peer.rest().await, Vec::<Value>::new(), "once");
        }
    }
    assert_eq!(mesh.ask("select count(*) from delivery").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn a_hidden_session_of_ours_that_was_away_gets_posts_and_no_multicasts() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let ack = create(&mut ann, json!({"name": "ci"})).await;
    bob.call(json!({"type": "set_visible", "visible": false})).await;
    let (member, session) = (bob.member.clone(), bob.session.clone());
    bob.close().await;

    ann.message("*", "next", "for who is seen").await;
    post(&mesh, 0, &path(&ack), "[1]").await;
    let mut bob = Peer::connect(&mesh.edges[0], &member, session, OURS).await;

    let push = bob.push().await;
    assert_eq!((&push["eventData"], &push["targetSpec"]), (&json!([1]), &json!("*")));
    assert_eq!(bob.rest().await, Vec::<Value>::new());
    let status = json!({"type": "message_status", "messageId": push["messageId"]});
    assert_eq!(ann.call(status).await["targetSpec"], "*");
    assert_eq!(ann.message("**", "next", "x").await["code"], "unknown_target");
}
