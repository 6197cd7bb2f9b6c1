//! Hello, reconnection and liveness, as the 0.8.9 client lives through them.

use std::time::Duration;

use serde_json::{Value, json};

use super::{client, member, peer::Client, url};
use crate::harness::{TestMesh, pass};

#[tokio::test]
async fn line_2_a_hello_without_groups_is_acknowledged_before_what_waited() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    let welcome = bob.opened().await;
    assert_eq!(
        welcome,
        json!({"type": "hello_ack", "presenceId": welcome["presenceId"],
               "memberDisplayName": "bob", "services": []})
    );

    bob.lose().await;
    ann.send(bob.key(), "while you were away", "next").await.unwrap();
    bob.lead_to(&url(&mesh, 0));
    let welcome = bob.hurry().await;

    assert_eq!((&welcome["restored"], &welcome["services"]), (&json!(true), &json!([])));
    assert_eq!(bob.text().await, "while you were away");
    assert_eq!(bob.strays().await, Vec::<Value>::new(), "nothing came before");
}

#[tokio::test]
async fn line_12_a_refused_client_tries_again_until_it_may_come() {
    let mesh = TestMesh::start_with(2, &[("MAX_CONNECTIONS_PER_MESH", "1")]).await;
    let ann = client(&mesh, "ann", 0).await;
    let mut config = member(&mesh, "bob", 1).await;
    config.groups = vec![json!({"name": "dev"})];

    let bob = Client::start(&config);
    let closes = bob.closes(0).await;

    assert_eq!(closes, [(1008, "capacity".to_owned())]);
    let refusal = json!({"type": "error", "code": "capacity",
                         "message": "mesh at connection capacity"});
    assert_eq!(bob.errors(), [refusal]);
    ann.close().await;
    mesh.until("select count(*) from presence", "0").await;
    let welcome = bob.hurry().await;
    assert_eq!(welcome["memberDisplayName"], "bob");
    assert_eq!(bob.me().await["groups"], json!([]), "it joins only after a first success (Q37)");
}

#[tokio::test]
async fn line_12_who_is_no_member_hears_why() {
    let mesh = TestMesh::start(1).await;
    let mut config = member(&mesh, "ann", 0).await;
    config.secret_key = super::crypto::Keys::generate().secret();

    let stranger = Client::start(&config);

    assert_eq!(stranger.closes(0).await, [(1008, "unauthorized".to_owned())]);
    assert_eq!(stranger.errors()[0]["message"], "pubkey not found in mesh");
}

#[tokio::test]
async fn line_12_a_drained_edge_says_goodbye_and_the_session_goes_on_elsewhere() {
    let mut mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 1).await, client(&mesh, "bob", 0).await);
    bob.join_group("dev");
    bob.peers().await;
    bob.lead_to(&url(&mesh, 1));

    let mut sent = None;
    let meanwhile = async {
        bob.lost().await;
        // What is sent meanwhile waits in the client, what is told is forgotten.
        sent = Some(bob.begin(ann.key(), "from the other side", "next"));
        bob.set_summary("unheard");
        assert_eq!(bob.waiting(), (1, 1));
    };
    tokio::join!(meanwhile, mesh.edges[0].stop());
    assert_eq!(bob.closes(0).await, [(1001, "shutting down".to_owned())]);
    let welcome = bob.hurry().await;

    assert_eq!(welcome["restoredGroups"], json!([{"name": "dev"}]));
    assert!(!sent.unwrap().await.unwrap().is_empty());
    assert_eq!(ann.text().await, "from the other side");
    assert_eq!(bob.me().await["summary"], Value::Null);
    let told = ann.quiet(|push| push.event.as_deref() == Some("peer_left")).await;
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test]
async fn it_comes_back_by_itself_after_a_second() {
    let mesh = TestMesh::start(1).await;
    let bob = client(&mesh, "bob", 0).await;
    let before = bob.opened().await["presenceId"].clone();

    bob.broken().await;
    let welcome = bob.opened().await;

    assert_ne!(welcome["presenceId"], before);
    assert_eq!(bob.me().await["pubkey"], bob.key(), "with the same session key");
}

#[tokio::test]
async fn line_11_who_answers_pings_stays_however_silent() {
    let mesh = TestMesh::start(1).await;
    let bob = client(&mesh, "bob", 0).await;

    for n in 1..=6 {
        pass(Duration::from_secs(30)).await;
        bob.pinged(n).await;
        // The pong is on its way when the next answer is.
        bob.peers().await;
    }

    assert_eq!(bob.me().await["displayName"], "bob");
    assert_eq!(bob.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn frames_right_after_the_acknowledgement_are_served() {
    let mesh = TestMesh::start(2).await;
    let ann = client(&mesh, "ann", 0).await;
    let mut config = member(&mesh, "bob", 1).await;
    config.groups =
        ["a", "b/c", "d", "e"].map(|name| json!({"name": name, "role": "lead"})).to_vec();

    let bob = Client::open(&config).await;
    let sent = bob.begin(ann.key(), "at once", "now");

    assert!(sent.await.is_ok());
    assert_eq!(ann.text().await, "at once");
    assert_eq!(bob.me().await["groups"], json!(config.groups));
}
