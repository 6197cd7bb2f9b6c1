//! `join`, `status` and the hook of the 0.8.9 client: what it asks over HTTP (5.9, 6.2, 6.3, 6.5).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    client,
    crypto::{Keys, verify},
    peer::{Client, Config},
    url,
};
use crate::{
    harness::TestMesh,
    web::{As, ask, send},
};

/// The port of a URL, whose path is replaced: whatever the client asks for is at the root.
fn port(broker_url: &str) -> u16 {
    let host = broker_url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
    host.split_once(':').unwrap().1.parse().unwrap()
}

/// Posts to the broker's host, as `join` and the hook do.
pub async fn post(broker_url: &str, target: &str, body: &Value) -> (u16, Value) {
    let json = [("Content-Type", "application/json".to_owned())];
    let answer = send(port(broker_url), "POST", target, &json, &body.to_string()).await;
    (answer.status, answer.json())
}

/// What the hook says: its parent's pid is not the session's.
pub fn hook(session_id: &str, status: &str) -> Value {
    json!({"cwd": "/work/project", "pid": 1, "status": status, "session_id": session_id})
}

/// What the mesh's owner sends: a link with nine fields, in the reference's order.
async fn invite(mesh: &TestMesh, uses: u32) -> String {
    let owner = Keys::parse(&mesh.owner.secret.hex());
    let expires_at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let (broker, ends, root) = (url(mesh, 0), expires_at.as_second(), "cm9vdA");
    let text = format!("1|{}|test|{broker}|{ends}|{root}|member|{}", mesh.id, owner.public);
    let payload = format!(
        r#"{{"v":1,"mesh_id":"{}","mesh_slug":"test","broker_url":"{broker}","expires_at":{ends},"#,
        mesh.id
    ) + &format!(
        r#""mesh_root_key":"{root}","role":"member","owner_pubkey":"{}","signature":"{}"}}"#,
        owner.public,
        owner.sign(&text)
    );
    let token = URL_SAFE_NO_PAD.encode(payload);
    let register = json!({"tokenHash": skein_crypto::invite::token_hash(&token), "role": "member",
                          "uses": uses, "expiresAt": expires_at.to_string()});
    let target = format!("/v1/meshes/{}/invites", mesh.id);
    let who = As::Key(&mesh.owner.secret);
    let answer = ask(mesh.edges[0].port, who, "POST", &target, &register.to_string()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    format!("https://claudemesh.com/join/{token}")
}

/// `join <url>`: read, verify, a fresh key pair, ask, keep.
async fn join(link: &str) -> Result<Config, String> {
    let token = link.rsplit('/').next().unwrap();
    let json = URL_SAFE_NO_PAD.decode(token).unwrap();
    let payload: Value = serde_json::from_slice(&json).unwrap();
    let of = |name: &str| payload[name].as_str().unwrap().to_owned();
    let text = format!(
        "{}|{}|{}|{}|{}|{}|{}|{}",
        payload["v"],
        of("mesh_id"),
        of("mesh_slug"),
        of("broker_url"),
        payload["expires_at"],
        of("mesh_root_key"),
        of("role"),
        of("owner_pubkey")
    );
    assert!(verify(&of("owner_pubkey"), &text, &of("signature")));
    let keys = Keys::generate();
    let body = json!({"invite_token": token, "invite_payload": payload,
                      "peer_pubkey": keys.public, "display_name": "host-4711"});
    let (status, said) = post(&of("broker_url"), "/join", &body).await;
    let member_id = said["memberId"].as_str().unwrap_or_default();
    if status / 100 != 2 || said["ok"] != true || member_id.is_empty() {
        return Err(said["error"].as_str().unwrap_or_default().to_owned());
    }
    Ok(Config {
        mesh_id: of("mesh_id"),
        member_id: member_id.to_owned(),
        secret_key: keys.secret(),
        broker_url: of("broker_url"),
        display_name: None,
        session_id: None,
        groups: Vec::new(),
        folder: "/work/project".into(),
    })
}

#[tokio::test]
async fn line_1_a_link_of_nine_fields_makes_a_member_that_says_hello() {
    let mesh = TestMesh::start(2).await;
    let ann = client(&mesh, "ann", 1).await;
    let link = invite(&mesh, 1).await;

    let config = join(&link).await.expect("the link is good");
    let bob = Client::open(&config).await;

    assert_eq!(bob.me().await["displayName"], "host-4711", "the name of its enrolment");
    ann.send(bob.key(), "welcome", "next").await.unwrap();
    assert_eq!(bob.text().await, "welcome");
    assert_eq!(join(&link).await.err().as_deref(), Some("invite_exhausted"));
}

#[tokio::test]
async fn q22_join_hook_and_health_are_at_the_root_of_the_broker_url() {
    let mesh = TestMesh::start_with(1, &[("SKEIN_LEGACY", "hooks")]).await;
    // What a balancer would strip; the client drops the path by itself.
    let broker = format!("{}/behind/a/prefix/ws", url(&mesh, 0).strip_suffix("/ws").unwrap());

    let (status, said) = post(&broker, "/join", &json!({})).await;
    assert_eq!((status, &said["ok"]), (400, &json!(false)), "{said}");
    let hook = json!({"cwd": "/nowhere", "pid": 1, "status": "idle", "session_id": ""});
    let pending = json!({"ok": true, "pending": true});
    assert_eq!(post(&broker, "/hook/set-status", &hook).await, (200, pending));
    let health = send(port(&broker), "GET", "/health", &[], "").await;
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("ok")));
}

#[tokio::test]
async fn line_9_a_hook_speaks_for_its_session_without_credentials() {
    let mesh = TestMesh::start_with(2, &[("SKEIN_LEGACY", "hooks")]).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, client(&mesh, "bob", 1).await);
    // All sessions of this process share its folder; the latest is bob's.
    let broker = url(&mesh, 0);
    assert_eq!(post(&broker, "/hook/set-status", &hook("", "working")).await.1["ok"], true);
    assert_eq!(bob.me().await["status"], "working");
    ann.send(bob.key(), "held", "next").await.unwrap();
    ann.send(bob.key(), "urgent", "now").await.unwrap();
    assert_eq!(bob.text().await, "urgent");

    post(&broker, "/hook/set-status", &hook("", "idle")).await;

    assert_eq!(bob.text().await, "held");
    assert_eq!(bob.me().await["status"], "idle");
}

#[tokio::test]
async fn health_and_a_probe_that_says_no_hello_are_served() {
    let mesh = TestMesh::start(1).await;
    let health = send(mesh.edges[0].port, "GET", "/health", &[], "").await;
    let said = health.json();
    assert_eq!((health.status, &said["status"], &said["db"]), (200, &json!("ok"), &json!("up")));
    assert!(said["version"].is_string() && said["gitSha"].is_string(), "{said}");
    assert!(said["uptime"].is_u64(), "{said}");

    let (mut probe, _) = tokio_tungstenite::connect_async(url(&mesh, 0)).await.unwrap();
    probe.close(None).await.unwrap();
}
