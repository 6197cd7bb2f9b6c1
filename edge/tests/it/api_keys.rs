//! API keys: who makes them, what they may do, and what they are refused.

mod messages;

use serde_json::{Value, json};
use skein_crypto::Keypair;

use crate::{
    harness::{Member, OURS, Peer, TestMesh, hello_frame},
    web::{Answer, As, ask, send},
};

/// Everything that a key can be given.
pub const ALL: [&str; 8] = [
    "messages:send",
    "messages:read",
    "state:read",
    "state:write",
    "tasks:read",
    "tasks:write",
    "webhooks",
    "audit:read",
];

/// An API key and what only its holder has.
pub struct Key {
    pub id: String,
    pub secret: String,
    pub keys: Keypair,
    /// The path of its mesh.
    pub base: String,
}

impl Key {
    /// Makes one as the owner.
    pub async fn make(mesh: &TestMesh, name: &str, capabilities: &[&str]) -> Self {
        let (base, keys) = (format!("/v1/meshes/{}", mesh.id), Keypair::generate());
        let body = new(name, &keys, capabilities).to_string();
        let (port, owner) = (mesh.edges[0].port, As::Key(&mesh.owner.secret));
        let made = ask(port, owner, "POST", &format!("{base}/api-keys"), &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let made = made.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self { id: text(&made["key"]["id"]), secret: text(&made["secret"]), keys, base }
    }

    /// Asks for a path of its mesh at this edge.
    pub async fn ask(
        &self,
        mesh: &TestMesh,
        edge: usize,
        method: &str,
        rest: &str,
        body: &str,
    ) -> Answer {
        let target = format!("{}{rest}", self.base);
        ask(mesh.edges[edge].port, As::Bearer(&self.secret), method, &target, body).await
    }

    /// The same, which must end with this status; returns what was said.
    pub async fn get(
        &self,
        mesh: &TestMesh,
        status: u16,
        method: &str,
        rest: &str,
        body: Value,
    ) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.ask(mesh, 0, method, rest, &body).await;
        assert_eq!(answer.status, status, "{method} {rest}: {answer:?}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }
}

fn new(name: &str, keys: &Keypair, capabilities: &[&str]) -> Value {
    json!({"name": name, "pubkey": keys.public.hex(), "capabilities": capabilities})
}

/// Every route for API keys, the capability that it takes, and a body.
fn routes() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let key = "ab".repeat(32);
    vec![
        (
            "messages:send",
            "POST",
            "/messages",
            json!({"id": "1", "target": key, "nonce": "", "ciphertext": ""}),
        ),
        ("messages:read", "GET", "/messages", Value::Null),
        ("messages:read", "GET", "/messages/waiting", Value::Null),
        ("messages:read", "POST", "/messages/received", json!({"messageIds": []})),
        ("state:write", "PUT", "/state/k", json!({"value": 1})),
        ("state:read", "GET", "/state/k", Value::Null),
        ("state:read", "GET", "/state", Value::Null),
        ("state:write", "DELETE", "/state/k", Value::Null),
        ("tasks:write", "POST", "/tasks", json!({"title": "t"})),
        ("tasks:read", "GET", "/tasks", Value::Null),
        ("tasks:read", "GET", "/tasks/x", Value::Null),
        ("tasks:write", "POST", "/tasks/next", json!({})),
        ("tasks:write", "POST", "/tasks/x/claim", json!({})),
        ("tasks:write", "POST", "/tasks/x/renew", json!({"leaseSeconds": 1})),
        ("tasks:write", "POST", "/tasks/x/complete", json!({})),
        ("webhooks", "POST", "/webhooks", json!({"name": "w"})),
        ("webhooks", "GET", "/webhooks", Value::Null),
        ("webhooks", "DELETE", "/webhooks/x", Value::Null),
        ("audit:read", "GET", "/audit", Value::Null),
        ("audit:read", "GET", "/audit/verify", Value::Null),
    ]
}

#[tokio::test]
async fn a_key_is_made_listed_used_and_revoked() {
    let mesh = TestMesh::start(2).await;
    let (port, owner) = (mesh.edges[0].port, As::Key(&mesh.owner.secret));
    let key = Key::make(&mesh, "robot", &["state:read", "messages:read"]).await;
    let path = format!("{}/api-keys", key.base);

    let listed = ask(port, owner, "GET", &path, "").await.json();
    let one = &listed["apiKeys"][0];
    assert_eq!((&one["id"], &one["name"]), (&json!(key.id), &json!("robot")));
    assert_eq!(one["capabilities"], json!(["state:read", "messages:read"]));
    assert_eq!((&one["pubkey"], one.get("usedAt")), (&json!(key.keys.public.hex()), None));
    assert_eq!(one["createdBy"], mesh.owner.public.hex());
    assert!(!listed.to_string().contains(&key.secret), "shown once");
    assert!(key.secret.starts_with("skein_key_"));
    let rows = mesh.ask("select string_agg(k::text, ' ') from api_key k").await.unwrap();
    assert!(!rows.contains(&key.secret[10..]), "{rows}");

    assert_eq!(key.ask(&mesh, 1, "GET", "/state", "").await.status, 200);
    assert!(ask(port, owner, "GET", &path, "").await.json()["apiKeys"][0]["usedAt"].is_string());
    let one = format!("{path}/{}", key.id);
    assert_eq!(ask(port, owner, "DELETE", &one, "").await.status, 204);
    let again = ask(port, owner, "DELETE", &one, "").await;
    assert_eq!(again.refusal(), (404, "not_found".to_owned()), "it revoked nothing");
    let unknown = ask(port, owner, "DELETE", &format!("{path}/unknown"), "").await;
    assert_eq!(unknown.refusal(), (404, "not_found".to_owned()));
    for edge in [0, 1] {
        let answer = key.ask(&mesh, edge, "GET", "/state", "").await;
        assert_eq!(answer.refusal(), (401, "unauthorized".to_owned()));
    }
    let listed = ask(port, owner, "GET", &path, "").await.json();
    assert!(listed["apiKeys"][0]["revokedAt"].is_string());
}

#[tokio::test]
async fn keys_are_the_admins_and_of_one_mesh() {
    let mesh = TestMesh::start(1).await;
    let port = mesh.edges[0].port;
    let (admin, plain) = (mesh.member("admin").await, mesh.member("plain").await);
    mesh.run("update member set role = 'admin' where display_name = 'admin'").await;
    let (other, no) = mesh.other_mesh().await;
    let foreign = mesh.member_of(&other, no, "foreign").await;
    let key = Key::make(&mesh, "robot", &ALL).await;
    let base = format!("{}/api-keys", key.base);
    let one = format!("{base}/{}", key.id);
    let signed = |member: &Member| member.keys.secret.clone();
    let (admin, plain, foreign) = (signed(&admin), signed(&plain), signed(&foreign));

    for (who, status) in [
        (As::Nobody, 401),
        (As::Bearer("skein_key_00"), 401),
        (As::Bearer(&key.secret), 403),
        (As::Key(&plain), 403),
        (As::Key(&foreign), 404),
        (As::Key(&key.keys.secret), 404),
    ] {
        for (method, path, body) in [
            ("POST", &base, new("x", &Keypair::generate(), &["webhooks"]).to_string()),
            ("GET", &base, String::new()),
            ("DELETE", &one, String::new()),
        ] {
            let answer = ask(port, who, method, path, &body).await;
            assert_eq!(answer.status, status, "{method}: {answer:?}");
        }
    }
    for who in [As::Operator, As::Key(&admin), As::Key(&mesh.owner.secret)] {
        let body = new("x", &Keypair::generate(), &["webhooks"]).to_string();
        assert_eq!(ask(port, who, "POST", &base, &body).await.status, 201);
    }
    let elsewhere = format!("/v1/meshes/{other}/api-keys/{}", key.id);
    assert_eq!(ask(port, As::Operator, "DELETE", &elsewhere, "").await.status, 404);
    assert_eq!(key.ask(&mesh, 0, "GET", "/state", "").await.status, 200, "it stays");
    let page = ask(port, As::Operator, "GET", &format!("/v1/meshes/{other}/api-keys"), "").await;
    assert_eq!(page.json(), json!({"apiKeys": []}));
}

#[tokio::test]
async fn a_key_that_cannot_be_is_refused() {
    let mesh = TestMesh::start(1).await;
    let ann = mesh.peer("ann", 0).await;
    let key = Key::make(&mesh, "robot", &["webhooks"]).await;
    let path = format!("{}/api-keys", key.base);

    for (field, wrong) in [
        ("name", json!("")),
        ("name", json!("a".repeat(129))),
        ("name", json!("a\nb")),
        ("name", json!("a\0b")),
        ("pubkey", json!("AB".repeat(32))),
        ("pubkey", json!("ab")),
        ("capabilities", json!([])),
        ("capabilities", json!(["everything"])),
        ("capabilities", json!(["webhooks", "webhooks"])),
        ("days", json!(0)),
        ("days", json!(3661)),
        ("unknown", json!(1)),
    ] {
        let mut body = new("x", &Keypair::generate(), &["webhooks"]);
        body[field] = wrong.clone();
        let answer = ask(mesh.edges[0].port, As::Operator, "POST", &path, &body.to_string()).await;
        assert_eq!(answer.refusal(), (400, "invalid_request".to_owned()), "{field} {wrong}");
    }
    for taken in [&ann.session, &ann.member.keys, &key.keys] {
        let body = new("x", taken, &["webhooks"]).to_string();
        let answer = ask(mesh.edges[0].port, As::Operator, "POST", &path, &body).await;
        assert_eq!(answer.refusal(), (409, "conflict".to_owned()));
    }
}

#[tokio::test]
async fn a_key_does_what_its_capabilities_say_and_nothing_else() {
    let mesh = TestMesh::start(1).await;
    let (other, _) = mesh.other_mesh().await;
    let every = Key::make(&mesh, "every", &ALL).await;
    for capability in ALL {
        let key = Key::make(&mesh, "one", &[capability]).await;
        for (takes, method, rest, body) in routes() {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let answer = key.ask(&mesh, 0, method, rest, &body).await;
            if takes == capability {
                assert!(![401, 403, 500].contains(&answer.status), "{method} {rest}: {answer:?}");
                continue;
            }
            assert_eq!(answer.refusal(), (403, "forbidden".to_owned()), "{method} {rest}");
            assert!(answer.body.contains(takes), "{method} {rest}: {answer:?}");
        }
    }
    for (_, method, rest, body) in routes() {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let elsewhere = format!("/v1/meshes/{other}{rest}");
        let port = mesh.edges[0].port;
        let answer = ask(port, As::Bearer(&every.secret), method, &elsewhere, &body).await;
        assert_eq!(answer.refusal(), (404, "not_found".to_owned()), "{method} {rest}");
        let answer = ask(port, As::Nobody, method, &format!("{}{rest}", every.base), &body).await;
        assert_eq!(answer.refusal(), (401, "unauthorized".to_owned()), "{method} {rest}");
        let in_url = format!("{}{rest}?apiKey={}", every.base, every.secret);
        let answer = ask(port, As::Nobody, method, &in_url, &body).await;
        assert_eq!(answer.status, 401, "{method} {rest}: {answer:?}");
    }
    for (method, rest) in [("GET", ""), ("GET", "/members"), ("GET", "/invites")] {
        let answer = every.ask(&mesh, 0, method, rest, "").await;
        assert_eq!(answer.refusal(), (403, "forbidden".to_owned()), "{method} {rest}");
    }
    let nodes = ask(mesh.edges[0].port, As::Bearer(&every.secret), "GET", "/v1/nodes", "").await;
    assert_eq!(nodes.refusal(), (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn whoever_holds_a_key_can_be_no_member_with_it() {
    let mesh = TestMesh::start(1).await;
    let key = Key::make(&mesh, "robot", &ALL).await;
    let members = format!("{}/members", key.base);
    let listed = ask(mesh.edges[0].port, As::Operator, "GET", &members, "").await.json();
    let one = listed["members"].as_array().unwrap().iter().find(|m| m["displayName"] == "robot");
    let one = one.expect("it is listed, so that others can write to it");
    assert_eq!(one["pubkey"], key.keys.public.hex());
    let id = one["id"].as_str().unwrap().to_owned();
    let posing = Member { mesh_id: mesh.id.clone(), id, keys: key.keys.clone(), name: "x".into() };

    for session in [Keypair::generate(), key.keys.clone()] {
        let mut peer = Peer::open(&mesh.edges[0], &posing, session.clone()).await;
        peer.send(&hello_frame(&posing, &session, OURS)).await;
        assert_eq!(peer.next().await["code"], "unauthorized");
        assert_eq!(peer.closed().await, 1008);
    }
    let signed = ask(mesh.edges[0].port, As::Key(&key.keys.secret), "GET", &members, "").await;
    assert_eq!(signed.refusal(), (404, "not_found".to_owned()));
    let revoke = format!("{members}/{}", posing.id);
    assert_eq!(ask(mesh.edges[0].port, As::Operator, "DELETE", &revoke, "").await.status, 204);
    assert_eq!(key.ask(&mesh, 0, "GET", "/state", "").await.status, 401, "with its member");
}

#[tokio::test]
async fn the_address_of_a_key_is_nobody_elses_however_long_it_was_not_used() {
    let mesh = TestMesh::start(1).await;
    let key = Key::make(&mesh, "robot", &ALL).await;
    let eve = mesh.member("eve").await;
    let address = key.keys.public.hex();
    mesh.run(&format!("delete from session where key = '{address}'")).await;

    let mut peer = Peer::open(&mesh.edges[0], &eve, key.keys.clone()).await;
    peer.send(&hello_frame(&eve, &key.keys, OURS)).await;

    assert_eq!(peer.next().await["code"], "unauthorized");
    assert_eq!(key.ask(&mesh, 0, "GET", "/state", "").await.status, 200);
}

#[tokio::test]
async fn a_key_that_expired_is_good_no_longer() {
    let mesh = TestMesh::start(1).await;
    let key = Key::make(&mesh, "robot", &["state:read"]).await;
    mesh.run("update api_key set expires_at = now() + interval '1 day'").await;
    assert_eq!(key.ask(&mesh, 0, "GET", "/state", "").await.status, 200);

    mesh.run("update api_key set expires_at = now()").await;

    let answer = key.ask(&mesh, 0, "GET", "/state", "").await;
    assert_eq!(answer.refusal(), (401, "unauthorized".to_owned()));
}

#[tokio::test]
async fn a_key_asks_so_often_a_minute_and_another_is_not_slowed() {
    let mesh = TestMesh::start_with(1, &[("SKEIN_API_KEY_RATE_PER_MIN", "3")]).await;
    let (key, other) = (
        Key::make(&mesh, "a", &["state:read"]).await,
        Key::make(&mesh, "b", &["state:read"]).await,
    );

    for _ in 0..3 {
        assert_eq!(key.ask(&mesh, 0, "GET", "/state", "").await.status, 200);
    }
    let answer = key.ask(&mesh, 0, "GET", "/state", "").await;

    assert_eq!(answer.refusal(), (429, "rate_limited".to_owned()));
    assert_eq!(other.ask(&mesh, 0, "GET", "/state", "").await.status, 200);
}

#[tokio::test]
async fn a_secret_is_in_no_answer_that_refuses_it() {
    let mesh = TestMesh::start(1).await;
    let key = Key::make(&mesh, "robot", &["messages:read"]).await;
    let wrong = format!("{}0", key.secret);
    let headers = [("Authorization", format!("Bearer {wrong}"))];

    let answer =
        send(mesh.edges[0].port, "GET", &format!("{}/state", key.base), &headers, "").await;

    assert_eq!(answer.refusal(), (401, "unauthorized".to_owned()));
    assert!(!answer.body.contains(&key.secret), "{answer:?}");
}
