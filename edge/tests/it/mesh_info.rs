//! The overview: everything that the mesh has and the caller may see.

use serde_json::{Value, json};
use skein_crypto::Keypair;

use crate::harness::{OURS, Peer, TestMesh};

async fn overview(peer: &mut Peer) -> Value {
    let info = peer.call(json!({"type": "mesh_info"})).await;
    assert_eq!(info["type"], "mesh_info_result", "{info}");
    info
}

#[tokio::test]
async fn an_old_client_is_told_what_the_mesh_has_on_every_edge() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 1).await);
    let empty = overview(&mut old).await;
    assert_eq!(
        (&empty["stateKeys"], &empty["tasks"]),
        (&json!([]), &json!({"open": 0, "claimed": 0, "done": 0}))
    );

    ann.call(json!({"type": "join_group", "name": "dev/backend", "role": "lead"})).await;
    old.send(&json!({"type": "join_group", "name": "dev/backend"})).await;
    old.send(&json!({"type": "join_group", "name": "b"})).await;
    for key in ["b", "a"] {
        let set = ann.call(json!({"type": "set_state", "key": key, "value": 1})).await;
        assert_eq!(set["type"], "ack", "{set}");
    }
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(ann.call(json!({"type": "remember", "content": "x"})).await["id"].clone());
    }
    ann.call(json!({"type": "forget", "memoryId": kept[0]})).await;
    for n in 0..4 {
        let task = ann.call(json!({"type": "create_task", "title": "x"})).await["id"].clone();
        if n > 1 {
            ann.call(json!({"type": "claim_task", "taskId": task})).await;
        }
        if n > 2 {
            ann.call(json!({"type": "complete_task", "taskId": task})).await;
        }
    }
    ann.call(json!({"type": "create_stream", "name": "ci"})).await;

    let mut info = overview(&mut old).await;
    info.as_object_mut().unwrap().remove("_reqId");
    let wanted = json!({
        "type": "mesh_info_result", "mesh": mesh.id, "peers": 2, "groups": ["@b", "@dev/backend"],
        "stateKeys": ["a", "b"], "memoryCount": 2, "fileCount": 0,
        "tasks": {"open": 2, "claimed": 1, "done": 1}, "streams": ["ci"], "tables": [],
        "collections": [], "yourName": "old",
        "yourGroups": [{"name": "dev/backend"}, {"name": "b"}],
    });
    assert_eq!(info, wanted);
}

#[tokio::test]
async fn who_is_hidden_is_counted_for_its_own_member_only() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let again = Peer::connect(&mesh.edges[0], &bob.member, Keypair::generate(), OURS);
    let mut again = again.await;
    bob.call(json!({"type": "join_group", "name": "secret"})).await;
    assert_eq!(overview(&mut ann).await["peers"], 3);

    bob.call(json!({"type": "set_visible", "visible": false})).await;

    let (seen, own) = (overview(&mut ann).await, overview(&mut again).await);
    assert_eq!((&seen["peers"], &seen["groups"]), (&json!(2), &json!([])));
    assert_eq!((&own["peers"], &own["groups"]), (&json!(3), &json!(["@secret"])));
}
