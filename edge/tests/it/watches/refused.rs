//! What is no watch, or one too many.

use serde_json::{Value, json};
use skein_wire::limit;

use super::{list, watch};
use crate::harness::{Peer, TestMesh};

/// The code and the words of a refused call.
pub(super) async fn refused(peer: &mut Peer, call: Value) -> (String, String) {
    let error = peer.call(call).await;
    assert_eq!(error["type"], "error", "{error}");
    (error["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_refused_with_the_reason() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let long = format!("https://a.example/{}", "x".repeat(limit::WATCH_URL_BYTES_MAX));

    for (url, code, why) in [
        ("", "invalid_url", ""),
        ("no url", "invalid_url", ""),
        ("ftp://a.example/", "invalid_url", "http"),
        ("file:///etc/passwd", "invalid_url", "http"),
        (long.as_str(), "invalid_url", "at most 2048"),
        ("http://127.0.0.1/", "url_refused", "SKEIN_FETCH_ALLOW"),
        ("http://2130706433/", "url_refused", ""),
        ("http://[::1]/", "url_refused", ""),
        ("http://169.254.169.254/latest", "url_refused", ""),
        ("http://a.example:8080/", "url_refused", "8080"),
        ("https://ann:pass@a.example/", "url_refused", "name or password"),
    ] {
        for kind in ["watch", "watch_test"] {
            let answer = refused(&mut ann, json!({"type": kind, "url": url})).await;
            assert_eq!(answer.0, code, "{url}: {answer:?}");
            assert!(answer.1.contains(why), "{url}: {answer:?}");
        }
    }
    assert_eq!(list(&mut ann).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_field_that_cannot_be_is_refused_by_its_name() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let x = |n: usize| "x".repeat(n);
    let too_many: serde_json::Map<String, Value> =
        (0..=limit::FETCH_HEADERS_MAX).map(|n| (format!("X-{n}"), json!("v"))).collect();
    let too_long = json!({"X-A": x(4000), "X-B": x(4000), "X-C": x(200)});

    for (field, value) in [
        ("notify_on", json!("always")),
        ("notify_on", json!(format!("match:{}", x(limit::WATCH_MATCH_BYTES_MAX + 1)))),
        ("extract", json!(x(limit::FETCH_PATH_BYTES_MAX + 1))),
        ("extract", json!("$.[")),
        ("label", json!(x(limit::WATCH_LABEL_BYTES_MAX + 1))),
        ("label", json!("two\nlines")),
        ("group", json!("@a//b")),
        ("interval", json!(limit::WATCH_INTERVAL_SECONDS_MAX + 1)),
        ("headers", json!({"Host": "b.example"})),
        ("headers", json!({"X-Token": "a\nb"})),
        ("headers", Value::Object(too_many)),
        ("headers", too_long),
    ] {
        let mut call = json!({"type": "watch", "url": "https://a.example/", "mode": "json"});
        call[field] = value;
        let (code, message) = refused(&mut ann, call).await;
        assert_eq!(code, "invalid_watch", "{field}: {message}");
        assert!(message.contains(&format!("`{field}`")), "{field}: {message}");
    }
    for (field, value) in [("mode", json!("xml")), ("interval", json!("30")), ("url", json!(7))] {
        let mut call = json!({"type": "watch", "url": "https://a.example/"});
        call[field] = value;
        let (code, message) = refused(&mut ann, call).await;
        assert_eq!(code, "invalid_message", "{field}: {message}");
    }
    assert_eq!(list(&mut ann).await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_just_fits_is_taken() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    let x = |n: usize| "x".repeat(n);
    let url = "https://a.example/";
    let url = format!("{url}{}", x(limit::WATCH_URL_BYTES_MAX - url.len()));
    let headers: serde_json::Map<String, Value> =
        (10..10 + limit::FETCH_HEADERS_MAX).map(|n| (format!("X-{n}"), json!("v"))).collect();

    let call = json!({"url": url, "mode": "json", "extract": x(limit::FETCH_PATH_BYTES_MAX),
                      "label": x(limit::WATCH_LABEL_BYTES_MAX), "group": x(limit::GROUP_BYTES_MAX),
                      "interval": limit::WATCH_INTERVAL_SECONDS_MAX, "headers": headers,
                      "notify_on": format!("not_match:{}", x(limit::WATCH_MATCH_BYTES_MAX))});
    watch(&mut ann, call).await;
    let half = limit::WATCH_HEADERS_BYTES_MAX / 2 - 3;
    let headers = json!({"X-A": x(half), "X-B": x(half)});
    watch(&mut ann, json!({"url": "https://a.example/", "headers": headers})).await;

    assert_eq!(list(&mut ann).await.len(), 2);
}

#[tokio::test]
async fn the_watch_that_is_one_too_many_is_refused_with_the_number() {
    let mesh = TestMesh::start(1).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let fill = |name: &str, first: i64, n: i64| {
        format!(
            "insert into watch (mesh, id, member, url, mode, interval_s, notify_on, phase)
             select m.mesh, 'w_' || lpad(to_hex(n), 8, '0'), m.mailbox, 'u', 'hash', 60, 'change', 0
               from member m, generate_series({first}, {}) n
              where m.display_name = '{name}'",
            first + n - 1
        )
    };
    mesh.run(&fill("ann", 1, limit::WATCHES_PER_MEMBER_MAX - 1)).await;

    watch(&mut ann, json!({"url": "https://a.example/"})).await;
    let call = json!({"type": "watch", "url": "https://a.example/"});
    let (code, message) = refused(&mut ann, call.clone()).await;
    assert_eq!(code, "watch_limit");
    assert!(message.contains("a member has at most 500"), "{message}");
    let rest = limit::WATCHES_MAX - limit::WATCHES_PER_MEMBER_MAX - 1;
    mesh.run(&fill("ann", 10_000, rest)).await;
    watch(&mut bob, json!({"url": "https://a.example/"})).await;
    let (code, message) = refused(&mut bob, call).await;
    assert_eq!(code, "watch_limit");
    assert!(message.contains("a mesh has at most 10000"), "{message}");
}

#[tokio::test]
async fn who_was_revoked_a_moment_ago_makes_no_watch() {
    let mesh = TestMesh::start(1).await;
    let mut ann = mesh.peer("ann", 0).await;
    // As it is between the revocation and the end of the member's sockets.
    mesh.run("update member set revoked_at = now() where display_name = 'ann'").await;

    let call = json!({"type": "watch", "url": "https://a.example/"});
    let (code, _) = refused(&mut ann, call).await;

    assert_eq!(code, "unauthorized");
    assert!(list(&mut ann).await.is_empty());
}
