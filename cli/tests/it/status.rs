//! `skein status` at a glance: what works, what does not, and what waits.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::edge::Peer;
use crate::place::{Follower, Place, fails, json, skein, wait};

#[tokio::test]
async fn a_glance_has_edges_peers_and_what_waits() {
    let place = Place::start(2).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    json(&owner, &["group", "join", "team"]);
    let _followers = [&owner, &bob].map(|home| Follower::start(home));
    wait("both are here", || (json(&bob, &["peers"]).as_array().unwrap().len() == 2).then_some(()))
        .await;

    let seen = &json(&owner, &["status"])[0];

    let fields: Vec<_> = seen.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted = vec![
        "meshId",
        "slug",
        "displayName",
        "owner",
        "connected",
        "edge",
        "tookMs",
        "problem",
        "edges",
        "peers",
        "sessions",
        "unread",
        "status",
        "summary",
        "groups",
    ];
    wanted.sort_unstable();
    assert_eq!(fields, wanted);
    assert_eq!(seen["connected"], true);
    assert_eq!(seen["owner"], true);
    assert_eq!(seen["groups"][0]["name"], "team");
    assert_eq!(json!([seen["peers"], seen["sessions"]]), json!([1, 1]), "bob's, and the owner's");
    let edges = seen["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 2);
    for edge in edges {
        assert_eq!(edge["database"], "up");
        assert!(edge["tookMs"].is_f64() && edge["problem"].is_null());
    }
    let words = skein(&owner, &["status"]).output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.contains("1 other is here") && words.contains("@team"), "{words}");
}

#[tokio::test]
async fn what_was_not_read_is_counted_until_it_is() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    json(&owner, &["peers"]);
    let session = place.short_session(&owner);
    json(&bob, &["send", &session, "for you"]);
    wait("a command has taken it to the inbox", || {
        json(&owner, &["peers"]);
        json(&owner, &["inbox", "--all"]).to_string().contains("for you").then_some(())
    })
    .await;

    assert_eq!(json(&owner, &["status"])[0]["unread"], 1);
    json(&owner, &["inbox", "--wait", "0"]);
    assert_eq!(json(&owner, &["status"])[0]["unread"], 0);
}

#[tokio::test]
async fn a_mesh_that_is_away_is_said_at_once_and_ends_with_four() {
    let mut place = Place::start(1).await;
    let owner = place.owner();
    place.kill(0);

    let (seen, error) = fails(&owner, &["status"], 4);

    assert_eq!(error["code"], "not_connected");
    assert_eq!(seen[0]["connected"], false);
    assert!(seen[0]["edge"].is_null() && seen[0]["peers"].is_null());
    assert!(seen[0]["edges"][0]["problem"].as_str().unwrap().contains("refused"), "{seen}");
}

/// An edge behind something that answers for its health, and badly.
async fn unwell(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut begun = [0; 11];
        while stream.peek(&mut begun).await.unwrap() < begun.len() {
            tokio::task::yield_now().await;
        }
        if &begun == b"GET /health" {
            let answer = "HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\
                          content-length: 3\r\n\r\nno\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Until the other side has it: closed earlier, it could be lost.
            let _ = stream.read_to_end(&mut Vec::new()).await;
            continue;
        }
        let mut peer = Peer::accept(stream).await;
        peer.acknowledge(&[]).await;
        peer.answer_list().await;
    }
}

#[tokio::test]
async fn an_edge_whose_health_is_unwell_is_greeted_all_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let serving = tokio::spawn(unwell(listener));
    let home = tempfile::tempdir().unwrap();
    crate::mcp::join(home.path(), "mesh-1", "demo", &url);
    let dir = home.path().to_owned();

    let looks = tokio::task::spawn_blocking(move || {
        let words = skein(&dir, &["status"]).output().unwrap();
        (json(&dir, &["status"]), String::from_utf8(words.stdout).unwrap())
    });
    let (seen, words) = looks.await.unwrap();

    assert_eq!(json!([seen[0]["connected"], seen[0]["edge"]]), json!([true, url]));
    assert!(seen[0]["edges"][0]["problem"].as_str().unwrap().contains("502"), "{seen}");
    assert!(words.contains(&format!("connected  {url}")) && words.contains("502"), "{words}");
    serving.abort();
}

#[tokio::test]
async fn an_edge_that_is_gone_does_not_hide_the_one_that_works() {
    let mut place = Place::start(2).await;
    let owner = place.owner();
    place.kill(0);

    let seen = &json(&owner, &["status"])[0];

    assert_eq!(seen["edge"], place.url(1));
    let urls: Vec<_> = seen["edges"].as_array().unwrap().iter().map(|one| &one["url"]).collect();
    assert!(urls.contains(&&json!(place.url(0))));
    let known = json(&owner, &["config", "get", "edges"]);
    assert_eq!(known["value"].as_array().unwrap().len(), 2, "none is forgotten");
}
