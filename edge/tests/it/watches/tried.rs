//! Checks that are tried before there is a watch.

use serde_json::json;
use skein_wire::limit;
use tokio::io::AsyncReadExt;

use super::refused::refused;
use crate::harness::{OURS, Peer, TestMesh};

/// What lets checks come to this machine.
const ALLOW: &[(&str, &str)] = &[("SKEIN_FETCH_ALLOW", "127.0.0.0/8")];

#[tokio::test]
async fn a_check_is_tried_while_the_session_goes_on() {
    let allow = &[("SKEIN_FETCH_ALLOW", "127.0.0.0/8"), ("SKEIN_TEST_TARGETS", "1")];
    let mesh = TestMesh::start_with(1, allow).await;
    let mut ann = mesh.peer("ann", 0).await;
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", mesh.edges[0].port);

    let test = json!({"type": "watch_test", "url": url("/health"), "mode": "json",
                      "extract": "db"});
    let seen = ann.call(test).await;
    assert_eq!((&seen["type"], &seen["status"]), (&json!("watch_test_result"), &json!(200)));
    assert_eq!((&seen["value"], seen.get("error")), (&json!("up"), None));
    assert_eq!((&seen["url"], &seen["finalUrl"]), (&json!(url("/health")), &json!(url("/health"))));
    assert_eq!(seen["contentType"], "application/json");
    assert!(seen["bytes"].as_u64().unwrap() > 20 && seen["hash"].as_str().unwrap().len() == 16);

    let page = json!({"type": "watch_test", "url": url("/test/html")});
    let (first, second) = (ann.call(page.clone()).await, ann.call(page).await);
    assert_ne!(first["value"], second["value"], "it changes");
    let nowhere = ann.call(json!({"type": "watch_test", "url": url("/nowhere")})).await;
    assert_eq!((&nowhere["status"], &nowhere["error"]), (&json!(404), &json!("HTTP 404")));
    assert_eq!((&nowhere["value"], &nowhere["hash"]), (&json!(""), &json!("")));
    let kept = mesh.ask("select count(*) from watch").await;
    assert_eq!(kept.as_deref(), Some("0"));

    // One that does not answer holds up nothing that the session says meanwhile.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}/", silent.local_addr().unwrap());
    ann.send(&json!({"type": "watch_test", "url": at, "_reqId": "slow"})).await;
    let (socket, _) = silent.accept().await.unwrap();
    ann.peers().await;
    drop(socket);
    let failed = ann.find(|frame| frame["_reqId"] == "slow").await;
    assert_eq!((&failed["type"], &failed["status"]), (&json!("watch_test_result"), &json!(0)));
    assert!(!failed["error"].as_str().unwrap().is_empty(), "{failed}");
}

#[tokio::test]
async fn a_member_tries_few_checks_at_once_and_others_try_theirs() {
    let mesh = TestMesh::start_with(1, ALLOW).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let member = ann.member.clone();
    let key = skein_crypto::Keypair::generate();
    let mut again = Peer::connect(&mesh.edges[0], &member, key, OURS).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let test = json!({"type": "watch_test",
                      "url": format!("http://{}/", silent.local_addr().unwrap())});
    let mut held = Vec::new();
    for n in 0..limit::WATCH_TESTS_AT_ONCE_PER_MEMBER_MAX {
        let mut test = test.clone();
        test["_reqId"] = json!(format!("t{n}"));
        ann.send(&test).await;
        held.push(silent.accept().await.unwrap());
    }

    // Whichever of its sessions asks.
    assert_eq!(refused(&mut ann, test.clone()).await.0, "too_many_calls");
    assert_eq!(refused(&mut again, test.clone()).await.0, "too_many_calls");
    bob.send(&test).await;
    held.push(silent.accept().await.unwrap());
    drop((held, silent));
    for n in 0..limit::WATCH_TESTS_AT_ONCE_PER_MEMBER_MAX {
        let id = format!("t{n}");
        let answer = ann.find(|frame| frame["_reqId"] == id.as_str()).await;
        assert_eq!(answer["type"], "watch_test_result", "{answer}");
    }
    let seen = ann.call(test).await;
    assert_eq!(seen["type"], "watch_test_result", "there is room again");
}

#[tokio::test]
async fn a_member_tries_so_many_checks_a_minute() {
    let mesh = TestMesh::start_with(1, ALLOW).await;
    let (mut ann, mut bob) = (mesh.peer("ann", 0).await, mesh.peer("bob", 0).await);
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let test = json!({"type": "watch_test",
                      "url": format!("http://{}/", nobody.local_addr().unwrap())});
    drop(nobody);
    let max = limit::WATCH_TESTS_PER_MINUTE_PER_MEMBER;

    let mut n_tried = 0;
    let refused = loop {
        let answer = ann.call(test.clone()).await;
        if answer["type"] == "error" {
            break answer;
        }
        n_tried += 1;
        assert!(n_tried < 2 * max, "nothing stops it");
    };

    assert_eq!(refused["code"], "rate_limited");
    assert!(n_tried >= max, "{n_tried}");
    assert_eq!(bob.call(test).await["type"], "watch_test_result", "another's rate is another");
}

#[tokio::test]
async fn a_check_that_is_tried_is_audited_without_its_secrets() {
    let mesh = TestMesh::start_with(1, ALLOW).await;
    let mut ann = mesh.peer("ann", 0).await;
    let url = "http://127.0.0.1:9/path?key=canary-1#frag";
    let test = json!({"type": "watch_test", "url": url, "headers": {"X-Token": "canary-2"}});

    ann.call(test).await;

    let log = ann.call(json!({"type": "audit_query"})).await;
    let entries = log["entries"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["eventType"] == "watch_tested").unwrap();
    assert_eq!(entry["payload"], json!({"url": "http://127.0.0.1:9/path"}));
    assert_eq!(entry["actor"], "ann");
    assert!(!log.to_string().contains("canary"), "{log}");
}

#[tokio::test]
async fn a_check_ends_with_the_session_that_tries_it() {
    let mesh = TestMesh::start_with(1, ALLOW).await;
    let mut ann = mesh.peer("ann", 0).await;
    let mut bob = mesh.peer("bob", 0).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    ann.send(&json!({"type": "watch_test", "url": url})).await;
    let (mut socket, _) = silent.accept().await.unwrap();

    ann.close().await;

    // Before the time of a check is over, the other end has left.
    let end = async { while socket.read(&mut [0; 1024]).await.unwrap_or(0) > 0 {} };
    tokio::time::timeout(limit::FETCH_TOTAL / 2, end).await.unwrap();
    bob.peers().await;
}
