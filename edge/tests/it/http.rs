//! The routes of the reference, in its shapes, and the document of all.

use std::{env, fs, path::Path};

use serde_json::{Value, json};
use skein_crypto::Keypair;
use skein_sql::{Connector, Settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    harness::{OURS, Peer, SOON, TestMesh},
    web::{As, ask, send},
};

const HOOKS: &[(&str, &str)] = &[("SKEIN_LEGACY", "hooks")];

#[tokio::test]
async fn health_says_what_the_contract_says() {
    let mesh = TestMesh::start_with(1, &[("GIT_SHA", "abc123")]).await;

    let health = ask(mesh.edges[0].port, As::Nobody, "GET", "/health", "").await;

    assert_eq!((health.status, health.header("content-type")), (200, Some("application/json")));
    let body = health.json();
    assert_eq!((&body["status"], &body["db"]), (&json!("ok"), &json!("up")));
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(body["gitSha"], "abc123");
    assert!(body["uptime"].is_i64());
    assert_eq!(body.as_object().unwrap().len(), 5);
}

#[tokio::test]
async fn health_is_degraded_while_the_database_is_away() {
    let mesh = TestMesh::start(1).await;
    let port = mesh.edges[0].port;
    let outside = Connector::new(&mesh.database.server_url()).unwrap();
    let outside = outside.connect(Settings::Maintenance).await.unwrap();
    let name = mesh.database.name();
    let allow =
        |is_allowed: bool| format!("alter database {name} with allow_connections {is_allowed}");
    outside.batch_execute(&allow(false)).await.unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    outside.query(end, &[&name]).await.unwrap();

    let degraded = until_health(port, 503).await;
    outside.batch_execute(&allow(true)).await.unwrap();
    until_health(port, 200).await;

    assert_eq!((&degraded["status"], &degraded["db"]), (&json!("degraded"), &json!("down")));
}

/// Asks until the health has this status.
async fn until_health(port: u16, status: u16) -> Value {
    let asking = async {
        loop {
            let health = ask(port, As::Nobody, "GET", "/health", "").await;
            if health.status == status {
                return health.json();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(4 * SOON, asking).await.expect("the edge notices")
}

#[tokio::test]
async fn routes_of_the_contract_match_the_whole_target_and_the_method() {
    let mesh = TestMesh::start(1).await;
    let port = mesh.edges[0].port;

    for (method, target) in [
        ("GET", "/health?x=1"),
        ("GET", "/health/"),
        ("HEAD", "/health"),
        ("POST", "/health"),
        ("GET", "/metrics?"),
        ("GET", "/join"),
        ("POST", "/join?x"),
        ("POST", "/hook/set-status/"),
        ("GET", "/hook/set-status"),
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("GET", "/v1"),
        ("DELETE", "/health"),
        ("GET", "/ws"),
        ("GET", "/ws/"),
    ] {
        let answer = ask(port, As::Nobody, method, target, "").await;
        assert_eq!(answer.status, 404, "{method} {target}: {answer:?}");
        assert_eq!(answer.header("content-type"), None, "{method} {target}");
        if method != "HEAD" {
            assert_eq!(answer.body, "not found", "{method} {target}");
        }
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_browsers_ask_for() {
    let mesh = TestMesh::start(1).await;
    let port = mesh.edges[0].port;

    for (method, target) in [
        ("GET", "/health"),
        ("GET", "/metrics"),
        ("POST", "/join"),
        ("POST", "/hook/set-status"),
        ("GET", "/nowhere"),
        ("OPTIONS", "/health"),
        ("OPTIONS", "/anything?at=all"),
    ] {
        let answer = ask(port, As::Nobody, method, target, "").await;
        let header = |name| answer.header(name).unwrap_or_default().to_owned();
        assert_eq!(header("access-control-allow-origin"), "*", "{method} {target}");
        assert_eq!(header("access-control-allow-methods"), "POST, GET, OPTIONS");
        assert_eq!(
            header("access-control-allow-headers"),
            "Content-Type, X-Mesh-Id, X-Member-Id, X-File-Name, X-Tags, X-Persistent, \
             X-Target-Spec"
        );
    }
    let ours = ask(port, As::Nobody, "OPTIONS", "/v1/meshes", "").await;
    assert!(ours.header("access-control-allow-methods").unwrap().contains("PATCH, DELETE"));
    assert!(ours.header("access-control-allow-headers").unwrap().contains("X-Skein-Nonce"));
}

#[tokio::test]
async fn options_on_any_path_is_204_and_empty() {
    let mesh = TestMesh::start(1).await;

    for target in ["/join", "/upload", "/x/y?z", "/v1/meshes/m"] {
        let answer = ask(mesh.edges[0].port, As::Nobody, "OPTIONS", target, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{target}");
    }
}

#[tokio::test]
async fn metrics_has_every_metric_of_the_contract_from_the_first_moment() {
    let mesh = TestMesh::start(1).await;

    let metrics = ask(mesh.edges[0].port, As::Nobody, "GET", "/metrics", "").await;

    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4"));
    for (name, kind) in [
        ("broker_connections_total", "counter"),
        ("broker_connections_rejected_total", "counter"),
        ("broker_connections_active", "gauge"),
        ("broker_messages_routed_total", "counter"),
        ("broker_messages_rejected_total", "counter"),
        ("broker_queue_depth", "gauge"),
        ("broker_ttl_sweeps_total", "counter"),
        ("broker_hook_requests_total", "counter"),
        ("broker_hook_requests_rate_limited_total", "counter"),
        ("broker_db_healthy", "gauge"),
    ] {
        assert!(metrics.body.contains(&format!("# HELP {name} ")), "{name}");
        assert!(metrics.body.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
        let has_value = |line: &str| line.strip_prefix(name).is_some_and(|it| it.starts_with(' '));
        assert!(metrics.body.lines().any(has_value), "{name}");
    }
}

#[tokio::test]
async fn the_word_websocket_is_taken_in_any_case() {
    let mesh = TestMesh::start(1).await;

    for (target, word, status) in
        [("/ws", "websocket", "101"), ("/ws", "WEBSOCKET", "101"), ("/ws?x=1", "websocket", "404")]
    {
        let mut socket = TcpStream::connect(("127.0.0.1", mesh.edges[0].port)).await.unwrap();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: {word}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut line = [0; 12];
        timeout(SOON, socket.read_exact(&mut line)).await.unwrap().unwrap();
        let line = String::from_utf8_lossy(&line);
        assert_eq!(line, format!("HTTP/1.1 {status}"), "{target} {word}");
    }
}

#[tokio::test]
async fn the_document_is_served_as_it_is_checked_in() {
    let mesh = TestMesh::start(1).await;

    let served = ask(mesh.edges[0].port, As::Nobody, "GET", "/openapi.json", "").await;

    assert_eq!(served.status, 200);
    assert!(served.header("content-type").unwrap().starts_with("application/json"));
    let file = fs::read_to_string(document()).unwrap();
    assert_eq!(served.json(), serde_json::from_str::<Value>(&file).unwrap());
}

fn document() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/openapi.json")
}

#[test]
fn the_document_is_true() {
    let value: Value = serde_json::from_str(&skein_edge::http::document()).unwrap();
    let now = serde_json::to_string_pretty(&value).unwrap() + "\n";
    if env::var_os("UPDATE").is_some() {
        fs::write(document(), &now).unwrap();
    }

    let kept = fs::read_to_string(document()).unwrap_or_default();

    assert!(kept == now, "openapi/openapi.json is not what the routes are; UPDATE=1 rewrites it");
}

#[test]
fn every_route_of_ours_documents_its_refusals_in_our_body() {
    let document: Value = serde_json::from_str(&skein_edge::http::document()).unwrap();

    let mut n_routes = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(route["operationId"].is_string(), "{name}");
            if !path.starts_with("/v1/") {
                assert_eq!(route["tags"], json!(["legacy"]), "{name}");
                continue;
            }
            n_routes += 1;
            let three = json!([{"operator": []}, {"apiKey": []}, {"signature": []}]);
            assert_eq!(route["security"], three, "{name}");
            for status in ["400", "401", "403", "404", "405", "409", "413", "429", "500", "503"] {
                let body = &route["responses"][status]["content"];
                let schema = &body["application/json; charset=utf-8"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Error", "{name} {status}");
            }
        }
    }
    assert_eq!(n_routes, 33);
}

#[test]
fn every_body_of_ours_is_documented_to_take_no_other_fields() {
    let document: Value = serde_json::from_str(&skein_edge::http::document()).unwrap();

    let mut n_bodies = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            let body = &route["requestBody"]["content"]["application/json; charset=utf-8"];
            let Some(name) = body["schema"]["$ref"].as_str() else { continue };
            let name = name.rsplit('/').next().unwrap();
            let schema = &document["components"]["schemas"][name];
            assert_eq!(schema["additionalProperties"], json!(false), "{method} {path}");
            n_bodies += 1;
        }
    }
    assert_eq!(n_bodies, 13);
}

#[tokio::test]
async fn the_page_of_the_document_loads_nothing_from_elsewhere() {
    let mesh = TestMesh::start(1).await;

    let page = ask(mesh.edges[0].port, As::Nobody, "GET", "/docs", "").await;

    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.body.contains("createMesh"), "the document is in the page");
    for loads in ["src=\"http", "src='http", "href=\"http", "<link", "@import", "url(http"] {
        let tags = page.body.split("<script charset").next().unwrap();
        assert!(!tags.contains(loads), "{loads}");
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
}

#[tokio::test]
async fn a_status_hook_is_refused_unless_the_deployment_asks_for_it() {
    let mesh = TestMesh::start(1).await;

    let body = r#"{"cwd":"/w","status":"idle"}"#;
    let answer = ask(mesh.edges[0].port, As::Nobody, "POST", "/hook/set-status", body).await;

    assert_eq!(answer.status, 403);
    assert_eq!(answer.json()["ok"], false);
    assert!(answer.json()["error"].as_str().unwrap().contains("SKEIN_LEGACY=hooks"));
}

#[tokio::test]
async fn a_status_hook_finds_its_session() {
    let mesh = TestMesh::start_with(1, HOOKS).await;
    let port = mesh.edges[0].port;
    let ann = mesh.member("ann").await;
    let _ann = Peer::connect(&mesh.edges[0], &ann, Keypair::generate(), OURS).await;

    let body = r#"{"cwd":"/w","status":"working","pid":7}"#;
    let answer = ask(port, As::Nobody, "POST", "/hook/set-status", body).await;

    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.json()["ok"], true);
    assert!(!answer.json()["presence_id"].as_str().unwrap().is_empty(), "{answer:?}");
    assert_eq!(answer.json().as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn a_status_hook_without_a_session_is_pending() {
    let mesh = TestMesh::start_with(1, HOOKS).await;

    let body = r#"{"cwd":"/nobody","status":"dnd","session_id":"s"}"#;
    let answer = send(mesh.edges[0].port, "POST", "/hook/set-status", &[], body).await;

    assert_eq!((answer.status, answer.json()), (200, json!({"ok": true, "pending": true})));
}

#[tokio::test]
async fn a_status_hook_words_its_refusals_as_the_contract() {
    let mesh = TestMesh::start_with(1, HOOKS).await;
    let large = format!(r#"{{"cwd":"{}"}}"#, "x".repeat(65_536));

    let required = json!({"ok": false, "error": "cwd and status required"});
    for (body, status, expected) in [
        (r#"{"cwd":"/w"}"#, 200, Some(required.clone())),
        (r#"{"status":"idle"}"#, 200, Some(required.clone())),
        (r#"{"cwd":1,"status":"idle"}"#, 200, Some(required.clone())),
        ("[]", 200, Some(required)),
        (&large, 413, Some(json!({"ok": false, "error": "payload too large"}))),
        ("{not json", 500, None),
        (r#"{"cwd":"/w","status":"asleep"}"#, 500, None),
    ] {
        let answer = ask(mesh.edges[0].port, As::Nobody, "POST", "/hook/set-status", body).await;
        let start: String = body.chars().take(40).collect();
        assert_eq!(answer.status, status, "{start}");
        assert_eq!(answer.json()["ok"], false, "{start}");
        if let Some(expected) = expected {
            assert_eq!(answer.json(), expected, "{start}");
        }
    }
}

#[tokio::test]
async fn status_hooks_that_come_too_fast_are_refused_before_they_are_read() {
    let settings = &[("SKEIN_LEGACY", "hooks"), ("HOOK_RATE_LIMIT_PER_MIN", "2")];
    let mesh = TestMesh::start_with(1, settings).await;
    let call = async |body: &str| {
        ask(mesh.edges[0].port, As::Nobody, "POST", "/hook/set-status", body).await
    };
    let wrong = r#"{"cwd":"/w","status":"asleep","pid":1}"#;
    for _ in 0..2 {
        assert_eq!(call(wrong).await.status, 500);
    }

    let limited = call(wrong).await;

    assert_eq!(
        (limited.status, limited.json()),
        (429, json!({"ok": false, "error": "rate limited"}))
    );
    assert_eq!(call(r#"{"cwd":"/w","status":"asleep","pid":2}"#).await.status, 500, "of another");
    let metrics = ask(mesh.edges[0].port, As::Nobody, "GET", "/metrics", "").await;
    let line = "broker_hook_requests_rate_limited_total ";
    let count = metrics.body.lines().find_map(|it| it.strip_prefix(line)).unwrap();
    assert!(count.parse::<u64>().unwrap() >= 1, "{count}");
}
