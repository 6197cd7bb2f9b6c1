//! A restart of the 0.8.9 client: another process, another session key, the same member. What the
//! member had is given back (design 4): groups, profile, summary, stats, visibility.

use serde_json::{Value, json};

use super::{
    client, member,
    peer::{Client, Config},
    url,
};
use crate::harness::TestMesh;

/// The same member's next process, on another edge.
fn elsewhere(mesh: &TestMesh, config: &Config, edge: usize) -> Config {
    Config { broker_url: url(mesh, edge), ..config.clone() }
}

/// Waits until nobody but these many is attached.
async fn attached(mesh: &TestMesh, n: usize) {
    mesh.until("select count(*) from presence", &n.to_string()).await;
}

#[tokio::test]
async fn a_new_process_has_what_its_member_had() {
    let mesh = TestMesh::start(2).await;
    let (ann, config) = (client(&mesh, "ann", 0).await, member(&mesh, "bob", 1).await);
    let bob = Client::open(&config).await;
    bob.join_group("dev");
    bob.set_profile(json!({"title": "tester"}));
    bob.set_summary("the spine");
    bob.send(ann.key(), "one", "next").await.unwrap();
    bob.report();
    bob.peers().await;
    let old_key = bob.key().to_owned();
    // Killed, not closed: nothing was said.
    bob.kill().await;
    attached(&mesh, 1).await;

    let bob = Client::open(&elsewhere(&mesh, &config, 0)).await;

    assert_ne!(bob.key(), old_key);
    let welcome = bob.opened().await;
    assert_eq!(
        welcome,
        json!({
            "type": "hello_ack", "presenceId": welcome["presenceId"], "memberDisplayName": "bob",
            "restored": true, "lastSummary": "the spine", "lastSeenAt": welcome["lastSeenAt"],
            "restoredGroups": [{"name": "dev"}],
            "restoredStats": {"messagesIn": 0, "messagesOut": 1, "toolCalls": 0, "errors": 0},
            "services": [],
        })
    );
    let me = bob.me().await;
    assert_eq!((&me["summary"], &me["visible"]), (&json!("the spine"), &json!(true)));
    assert_eq!(me["profile"], json!({"title": "tester"}));
    ann.send("@dev", "still in dev", "next").await.unwrap();
    assert_eq!(bob.text().await, "still in dev");
}

#[tokio::test]
async fn q26_totals_go_on_over_restarts_and_are_counted_once() {
    let mesh = TestMesh::start(2).await;
    let (ann, config) = (client(&mesh, "ann", 0).await, member(&mesh, "bob", 1).await);
    for n in 1..=4 {
        let bob = Client::open(&elsewhere(&mesh, &config, n % 2)).await;
        bob.send(ann.key(), "one more", "next").await.unwrap();
        // It reports totals, as often as it likes.
        bob.report();
        bob.report();
        assert_eq!(bob.me().await["stats"]["messagesOut"], n);
        bob.close().await;
        attached(&mesh, 1).await;
    }

    let bob = Client::open(&config).await;

    assert_eq!(bob.opened().await["restoredStats"]["messagesOut"], 4);
}

#[tokio::test]
async fn a_hidden_member_comes_back_hidden_unless_another_of_its_sessions_is_seen() {
    let mesh = TestMesh::start(2).await;
    let (ann, config) = (client(&mesh, "ann", 0).await, member(&mesh, "bob", 1).await);
    let bob = Client::open(&config).await;
    bob.set_visible(false);
    bob.peers().await;
    bob.close().await;
    attached(&mesh, 1).await;

    let bob = Client::open(&elsewhere(&mesh, &config, 0)).await;
    assert_eq!(bob.me().await["visible"], false);
    assert_eq!(ann.find("bob").await, None);

    // Another process while this one is here is not hidden for its sake.
    let sibling = Client::open(&config).await;
    assert_eq!(sibling.me().await["visible"], true);
    assert_eq!(ann.find("bob").await.unwrap()["pubkey"], sibling.key());
}

#[tokio::test]
async fn a_short_command_takes_nothing_from_the_process_that_stays() {
    let mesh = TestMesh::start(2).await;
    let config = member(&mesh, "bob", 1).await;
    let bob = Client::open(&config).await;
    bob.join_group("dev");
    bob.set_summary("the spine");
    bob.peers().await;

    // `claudemesh peers`, in another terminal.
    let command = Client::open(&elsewhere(&mesh, &config, 0)).await;
    assert_eq!(command.me().await["groups"], json!([]), "groups are not shared (Q28)");
    command.close().await;
    attached(&mesh, 1).await;
    assert_eq!(bob.me().await["groups"], json!([{"name": "dev"}]));
    bob.close().await;
    attached(&mesh, 0).await;

    let bob = Client::open(&config).await;

    let welcome = bob.opened().await;
    assert_eq!(welcome["restoredGroups"], json!([{"name": "dev"}]));
    assert_eq!(welcome["lastSummary"], "the spine");
}

#[tokio::test]
async fn what_was_sent_to_the_old_key_waits_there_and_a_name_leads_to_the_new_one() {
    let mesh = TestMesh::start(2).await;
    let (ann, config) = (client(&mesh, "ann", 0).await, member(&mesh, "bob", 1).await);
    let bob = Client::open(&config).await;
    let old_key = bob.key().to_owned();
    bob.close().await;
    let id = ann.send(&old_key, "to who you were", "next").await.unwrap();

    let bob = Client::open(&elsewhere(&mesh, &config, 0)).await;

    assert_eq!(ann.find("bob").await.unwrap()["pubkey"], bob.key());
    assert_eq!(bob.quiet(|push| push.event.is_none()).await.len(), 0);
    let status = ann.status_of(&id).await.unwrap();
    assert_eq!(
        (&status["delivered"], &status["recipients"][0]["status"]),
        (&json!(false), &json!("disconnected"))
    );
    assert_eq!(bob.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_name_leads_to_the_new_process_while_the_killed_one_is_still_in_its_grace() {
    let mesh = TestMesh::start(2).await;
    let (ann, config) = (client(&mesh, "ann", 0).await, member(&mesh, "bob", 1).await);
    let sibling = Client::open(&config).await;
    let bob = Client::open(&config).await;
    let old_key = bob.key().to_owned();
    bob.kill().await;
    attached(&mesh, 2).await;
    let is_listed = async |key: &str| ann.peers().await.iter().any(|peer| peer["pubkey"] == key);
    assert!(is_listed(&old_key).await, "a lost session may be back");

    sibling.close().await;
    let bob = Client::open(&elsewhere(&mesh, &config, 0)).await;

    assert_eq!(ann.find("bob").await.unwrap()["pubkey"], bob.key());
    assert!(!is_listed(&old_key).await, "a client would take it for bob");
}
