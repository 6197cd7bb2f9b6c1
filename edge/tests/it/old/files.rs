//! Peer files, between clients of 0.8.9 and ours, across edges, both ways (2.7).

use std::{fs, os::unix::fs::symlink};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{client, member, peer::Client, url};
use crate::harness::TestMesh;

/// A working directory with a little of everything in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir_all(at.join("src/deep/er/est")).unwrap();
    fs::write(at.join("README.md"), "grün 🦊\n").unwrap();
    fs::write(at.join("src/main.rs"), "fn main() {}\n").unwrap();
    fs::write(at.join("src/deep/er/lib.rs"), "//! deep\n").unwrap();
    fs::write(at.join("src/deep/er/est/too.rs"), "//! too deep\n").unwrap();
    fs::write(at.join(".env"), "SECRET=1\n").unwrap();
    fs::write(at.join("empty"), "").unwrap();
    fs::write(at.join("large"), vec![b'x'; 1_048_576]).unwrap();
    fs::write(at.join("larger"), vec![b'x'; 1_048_577]).unwrap();
    symlink("src/main.rs", at.join("link")).unwrap();
    folder
}

/// An old client that works in this folder.
async fn working(mesh: &TestMesh, name: &str, edge: usize, folder: &TempDir) -> Client {
    let mut config = member(mesh, name, edge).await;
    config.folder = folder.path().to_owned();
    Client::open(&config).await
}

#[tokio::test]
async fn line_10_files_of_an_old_client_are_read_by_an_old_one_and_by_ours() {
    let mesh = TestMesh::start(2).await;
    let folder = folder();
    let bob = working(&mesh, "bob", 1, &folder).await;
    let (ann, mut cid) = (client(&mesh, "ann", 0).await, mesh.peer("cid", 0).await);
    let key = ann.find("bob").await.unwrap()["pubkey"].as_str().unwrap().to_owned();

    assert_eq!(ann.read_peer_file(&key, "README.md").await.unwrap(), "grün 🦊\n");
    assert_eq!(ann.read_peer_file(&key, "large").await.unwrap().len(), 1_048_576);
    assert_eq!(ann.read_peer_file(&bob.member().public, "link").await.unwrap(), "fn main() {}\n");
    for (path, error) in [
        ("../x", "path traversal not allowed"),
        ("/etc/passwd", "file outside shared directories"),
        ("src", "not a file"),
        ("larger", "file too large (1048577 bytes, max 1048576)"),
        ("nothing", "file not found"),
        // As the client itself reports it.
        ("empty", "empty response"),
    ] {
        assert_eq!(ann.read_peer_file(&key, path).await.unwrap_err(), error, "{path}");
        let ask = json!({"type": "peer_file_request", "targetPubkey": key, "filePath": path});
        let answer = cid.call(ask).await;
        assert_eq!(answer["type"], "peer_file_response_forward", "{answer}");
        match path {
            "empty" => assert_eq!(answer["content"], ""),
            _ => assert_eq!(answer["error"], error),
        }
    }
    let ask = json!({"type": "peer_file_request", "targetPubkey": key, "filePath": "README.md"});
    assert_eq!(cid.call(ask).await["content"], STANDARD.encode("grün 🦊\n"));
    for client in [&ann, &bob] {
        assert_eq!(client.strays().await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn folders_of_an_old_client_are_listed_by_an_old_one_and_by_ours() {
    let mesh = TestMesh::start(2).await;
    let folder = folder();
    let bob = working(&mesh, "bob", 1, &folder).await;
    let (ann, mut cid) = (client(&mesh, "ann", 0).await, mesh.peer("cid", 0).await);
    let src = json!(["deep/", "deep/er/", "deep/er/est/", "deep/er/lib.rs", "main.rs"]);

    for (path, pattern, entries) in [
        ("src", None, src.clone()),
        ("src", Some("*.RS"), json!(["deep/er/lib.rs", "main.rs"])),
        ("src", Some("m?in"), json!(["main.rs"])),
        ("src/deep/er/est", None, json!(["too.rs"])),
        ("", Some("env"), json!([])),
    ] {
        let listed = ann.list_peer_files(bob.key(), path, pattern).await.unwrap();
        assert_eq!(json!(listed), entries, "{path} {pattern:?}");
    }
    for (path, error) in [
        ("..", "path traversal not allowed"),
        ("/etc", "directory outside shared directories"),
        ("README.md", "not a directory"),
        ("nothing", "directory not found"),
    ] {
        let listed = ann.list_peer_files(bob.key(), path, None).await;
        assert_eq!(listed.unwrap_err(), error, "{path}");
    }
    let ask = json!({"type": "peer_dir_request", "targetPubkey": bob.key(), "dirPath": "src"});
    assert_eq!(cid.call(ask).await["entries"], src);
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_old_client_reads_and_lists_what_ours_answers() {
    let mesh = TestMesh::start(2).await;
    let (ann, mut bob) = (client(&mesh, "ann", 0).await, mesh.peer("bob", 1).await);
    let key = bob.key();

    let (file, ()) = tokio::join!(ann.read_peer_file(&key, "a"), async {
        let asked = bob.find(|f| f["type"] == "peer_file_request_forward").await;
        assert_eq!(
            (&asked["requesterPubkey"], &asked["filePath"]),
            (&json!(ann.key()), &json!("a"))
        );
        bob.send(&json!({"type": "peer_file_response", "requesterPubkey": ann.key(),
                         "filePath": "a", "content": "aGVsbG8=", "_reqId": asked["_reqId"]}))
            .await;
    });
    assert_eq!(file.unwrap(), "hello");
    let (entries, ()) = tokio::join!(ann.list_peer_files(&key, "src", Some("*.rs")), async {
        let asked = bob.find(|f| f["type"] == "peer_dir_request_forward").await;
        assert_eq!((&asked["dirPath"], &asked["pattern"]), (&json!("src"), &json!("*.rs")));
        bob.send(&json!({"type": "peer_dir_response", "requesterPubkey": ann.key(),
                         "dirPath": "src", "entries": ["a.rs"], "_reqId": asked["_reqId"]}))
            .await;
    });
    assert_eq!(entries.unwrap(), [json!("a.rs")]);
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn questions_that_nobody_can_answer_end_with_their_own_failure() {
    let mesh = TestMesh::start(2).await;
    let (ann, bob) = (client(&mesh, "ann", 0).await, mesh.peer("bob", 1).await);
    let key = bob.key();

    let why = ann.read_peer_file(&"0".repeat(64), "a").await.unwrap_err();
    assert_eq!(why, "peer_not_found: target peer not connected");
    let why = ann.list_peer_files(&"0".repeat(64), "a", None).await.unwrap_err();
    assert_eq!(why, "peer_not_found: target peer not connected");
    // Both questions are under way when he goes.
    let (file, dir, ()) =
        tokio::join!(ann.read_peer_file(&key, "a"), ann.list_peer_files(&key, "a", None), async {
            let mut bob = bob;
            for kind in ["peer_file_request_forward", "peer_dir_request_forward"] {
                bob.find(|f| f["type"] == kind).await;
            }
            bob.vanish();
        });
    for why in [file.unwrap_err(), dir.unwrap_err()] {
        assert!(why.starts_with("peer_gone: "), "{why}");
    }
    assert_eq!(ann.errors().len(), 2, "those of a key that nobody has");
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}

#[tokio::test]
async fn it_answers_and_asks_on_another_edge_after_a_reconnect() {
    let mesh = TestMesh::start(2).await;
    let folder = folder();
    let (ann, bob) = (client(&mesh, "ann", 0).await, working(&mesh, "bob", 1, &folder).await);
    bob.lose().await;
    bob.lead_to(&url(&mesh, 0));
    bob.hurry().await;

    assert_eq!(ann.read_peer_file(bob.key(), "src/main.rs").await.unwrap(), "fn main() {}\n");
    ann.lose().await;
    ann.lead_to(&url(&mesh, 1));
    ann.hurry().await;
    assert_eq!(ann.read_peer_file(bob.key(), "src/main.rs").await.unwrap(), "fn main() {}\n");
    assert_eq!(ann.strays().await, Vec::<Value>::new());
}
