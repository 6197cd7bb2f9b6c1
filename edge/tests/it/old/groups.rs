//! Groups of 0.8.9 clients: joined back to back after the first hello, and given back ever after.

use serde_json::{Value, json};

use super::{client, member, peer::Client, url};
use crate::harness::TestMesh;

#[tokio::test]
async fn q04_groups_of_a_launch_are_all_joined_and_heard_across_edges() {
    let mesh = TestMesh::start(2).await;
    let ann = client(&mesh, "ann", 0).await;
    let mut config = member(&mesh, "bob", 1).await;
    config.groups = vec![
        json!({"name": "a", "role": "lead"}),
        json!({"name": "b"}),
        json!({"name": "c/d"}),
        json!({"name": "O'Brien; drop table mesh"}),
    ];

    let bob = Client::open(&config).await;

    assert_eq!(bob.me().await["groups"], json!(config.groups));
    assert_eq!(ann.find("bob").await.unwrap()["groups"], json!(config.groups));
    for target in ["@a", "@b", "@c/d", "@c", "@O'Brien; drop table mesh"] {
        ann.send(target, target, "next").await.unwrap();
        assert_eq!(bob.text().await, target);
    }
    assert_eq!(bob.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn q37_after_a_reconnect_groups_are_heard_without_being_joined_again() {
    let mesh = TestMesh::start(2).await;
    let ann = client(&mesh, "ann", 0).await;
    let mut config = member(&mesh, "bob", 1).await;
    config.groups = vec![json!({"name": "dev"}), json!({"name": "ops"})];
    let bob = Client::open(&config).await;
    bob.tell(&json!({"type": "leave_group", "name": "ops"}));
    bob.peers().await;

    bob.lose().await;
    bob.lead_to(&url(&mesh, 0));
    let welcome = bob.hurry().await;

    assert_eq!(welcome["restoredGroups"], json!([{"name": "dev"}]));
    ann.send("@ops", "not for bob", "next").await.unwrap();
    ann.send("@dev", "for bob", "next").await.unwrap();
    assert_eq!(bob.text().await, "for bob");
}
