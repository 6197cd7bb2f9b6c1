//! Skills: shared, read, listed and removed, by those who may.

use serde_json::{Value, json};
use skein_wire::limit;

use crate::harness::{Peer, TestMesh};

fn share(name: &str, description: &str) -> Value {
    json!({"type": "share_skill", "name": name, "description": description,
           "instructions": "1. build\n2. ship", "tags": ["Ops"]})
}

async fn names(peer: &mut Peer, query: Option<&str>) -> Vec<String> {
    let mut frame = json!({"type": "list_skills"});
    if let Some(query) = query {
        frame["query"] = json!(query);
    }
    let list = peer.call(frame).await;
    let name = |skill: &Value| skill["name"].as_str().unwrap().to_owned();
    list["skills"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn a_skill_is_shared_read_listed_and_removed_across_edges() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.old_peer("ann", 0).await, mesh.old_peer("bob", 1).await);
    let get = json!({"type": "get_skill", "name": "deploy"});
    let remove = json!({"type": "remove_skill", "name": "deploy"});

    let ack = ann.call(share("deploy", "ships it")).await;

    let expected = json!({"type": "skill_ack", "name": "deploy", "action": "shared",
                          "_reqId": ack["_reqId"]});
    assert_eq!(ack, expected);
    let data = bob.call(get.clone()).await;
    let at = data["skill"]["createdAt"].clone();
    assert!(at.as_str().unwrap().ends_with('Z'));
    let skill = json!({"name": "deploy", "description": "ships it",
                       "instructions": "1. build\n2. ship", "tags": ["Ops"], "author": "ann",
                       "createdAt": at});
    assert_eq!(data["skill"], skill);
    let listed = bob.call(json!({"type": "list_skills"})).await;
    let mut expected = skill.clone();
    expected.as_object_mut().unwrap().remove("instructions");
    assert_eq!(listed["skills"], json!([expected]));
    ann.call(share("deploy", "ships it better")).await;
    assert_eq!(bob.call(get.clone()).await["skill"]["description"], "ships it better");
    assert_eq!(bob.call(get.clone()).await["skill"]["createdAt"], at, "the name's age stays");
    assert_eq!(ann.call(remove.clone()).await["action"], "removed");
    assert_eq!(ann.call(remove).await["action"], "not_found");
    assert_eq!(bob.call(get).await["skill"], Value::Null);
}

#[tokio::test]
async fn skills_are_searched_in_name_description_and_tags() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    ann.call(share("Review", "reads pull requests")).await;
    ann.call(share("deploy", "ships it")).await;

    for (query, found) in [
        (None, &["Review", "deploy"][..]),
        (Some(""), &["Review", "deploy"]),
        (Some("PULL"), &["Review"]),
        (Some("depl"), &["deploy"]),
        (Some("ops"), &["Review", "deploy"]),
        (Some("%"), &[]),
    ] {
        assert_eq!(names(&mut ann, query).await, found, "{query:?}");
    }
}

#[tokio::test]
async fn anothers_skill_is_neither_overwritten_nor_removed() {
    let mesh = TestMesh::start(2).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 1).await);
    let mut old = mesh.old_peer("old", 1).await;
    let mut admin = mesh.peer("admin", 1).await;
    mesh.run("update member set role = 'admin' where display_name = 'admin'").await;
    let remove = json!({"type": "remove_skill", "name": "deploy"});
    ann.call(share("deploy", "hers")).await;

    for frame in [share("deploy", "his"), remove.clone()] {
        let refused = bob.call(frame).await;
        assert_eq!(refused["code"], "skill_taken");
        assert!(refused["message"].as_str().unwrap().contains("ann"), "{refused}");
    }
    let refused = old.call(share("deploy", "his")).await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("skill_taken")));
    assert_eq!(old.call(remove.clone()).await["action"], "not_found", "the contract's word");
    let get = json!({"type": "get_skill", "name": "deploy"});
    assert_eq!(ann.call(get.clone()).await["skill"]["description"], "hers");

    assert_eq!(admin.call(share("deploy", "better")).await["action"], "shared");
    let skill = ann.call(get).await["skill"].clone();
    assert_eq!((&skill["description"], &skill["author"]), (&json!("better"), &json!("admin")));
    assert_eq!(ann.call(remove.clone()).await["code"], "skill_taken");
    assert_eq!(admin.call(remove).await["action"], "removed");
}

#[tokio::test]
async fn what_is_too_much_is_refused_with_the_number() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut old) = (mesh.peer("ann", 0).await, mesh.old_peer("old", 0).await);
    let x = |n: usize| "x".repeat(n);

    for (field, max) in [
        ("name", limit::SKILL_NAME_BYTES_MAX),
        ("description", limit::SKILL_DESCRIPTION_BYTES_MAX),
        ("instructions", limit::SKILL_INSTRUCTIONS_BYTES_MAX),
    ] {
        let mut frame = share("s", "");
        frame[field] = json!(x(max));
        assert_eq!(ann.call(frame.clone()).await["action"], "shared", "{field}");
        frame[field] = json!(x(max + 1));
        for peer in [&mut ann, &mut old] {
            let refused = peer.call(frame.clone()).await;
            assert_eq!(refused["code"], "too_large", "{field}");
            assert!(refused["message"].as_str().unwrap().contains(&max.to_string()), "{refused}");
        }
    }
    for bad in [share("", ""), share("a\nb", ""), json!({"type": "share_skill", "name": "x"})] {
        assert_eq!(ann.call(bad).await["code"], "invalid_message");
    }
    mesh.run(&format!(
        "insert into skill (mesh, name, description, instructions, author)
         select {}, 'n' || n, '', '', m.mailbox
           from generate_series(1, {}) n, (select min(mailbox) as mailbox from member) m",
        mesh.no,
        limit::SKILLS_MAX - 2
    ))
    .await;
    let refused = ann.call(share("one more", "")).await;
    assert_eq!(refused["code"], "skills_full");
    assert!(refused["message"].as_str().unwrap().contains(&limit::SKILLS_MAX.to_string()));
}
