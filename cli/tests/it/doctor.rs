//! `skein doctor` names exactly the broken hop: real edges, and what can go wrong before each.

mod door;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::SignedDuration;
use serde_json::{Value, json};
use skein::home::Home;
use skein_crypto::Keypair;
use skein_embedded::{Options, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use self::door::{Door, Socket};
use crate::place::{Place, fails, free_port, json, run, skein, wait};

/// The hops of an edge, in order.
const OF_EDGE: [&str; 7] = ["dns", "connect", "tls", "edge", "clock", "database", "websocket"];

/// A home that is a member of a mesh at these edges, which need not exist.
fn member(home: &Path, edges: &[&str]) {
    fs::create_dir_all(home).unwrap();
    fs::set_permissions(home, fs::Permissions::from_mode(0o700)).unwrap();
    let membership = serde_json::from_value(json!({
        "version": 1, "meshId": "mesh-1", "slug": "demo", "memberId": "member-1",
        "memberSecret": *Keypair::generate().secret.hex(),
        "ownerPubkey": Keypair::generate().public, "edges": edges, "displayName": "ann",
        "joinedAt": "2026-01-01T00:00:00.000Z",
    }));
    Home::at(home).unwrap().save(&membership.unwrap()).unwrap();
}

/// Sets the edges of a home's only mesh.
fn edges(home: &Path, edges: &[&str]) {
    json(home, &["config", "set", "edges", &edges.join(",")]);
}

/// Runs the doctor, who must find this hop broken, and skip every later hop of its way.
fn broken(home: &Path, hop: &str) -> Value {
    let (report, error) = fails(home, &["doctor"], 1);
    assert_eq!(error["code"], "unwell");
    assert_eq!(report["healthy"], false);
    assert_eq!(report["broken"]["hop"], hop, "{report:#}");
    assert_eq!(report["broken"]["fix"], error["hint"]);
    let hops = report["hops"].as_array().unwrap();
    let at = hops.iter().position(|one| one["state"] == "broken").unwrap();
    // A clock or a database that only the hello found out stands among hops that were well.
    let rest = hops[at + 1..].iter().filter(|one| !is_before_hello(one));
    for later in rest {
        assert_eq!(later["state"], "skipped", "{report:#}");
        assert!(later["tookMs"].is_null() && later["fix"].is_null());
    }
    for before in &hops[..at] {
        assert_eq!(before["state"], "ok", "{report:#}");
        assert!(before["tookMs"].is_f64() && before["detail"].is_string());
    }
    report["broken"].clone()
}

fn is_before_hello(hop: &Value) -> bool {
    OF_EDGE.contains(&hop["hop"].as_str().unwrap()) && hop["state"] == "ok"
}

fn says(broken: &Value, words: &str) {
    assert!(broken.to_string().contains(words), "{words}: {broken}");
}

#[tokio::test]
async fn two_edges_that_work_pass_every_hop_and_a_message_comes_back_over_both() {
    let place = Place::start(2).await;
    let owner = place.owner();

    let report = json(&owner, &["doctor"]);

    assert_eq!(report["healthy"], true);
    assert!(report["broken"].is_null());
    let hops = report["hops"].as_array().unwrap();
    assert!(hops.iter().all(|hop| hop["state"] == "ok"), "{report:#}");
    let names: Vec<_> = hops.iter().map(|hop| hop["hop"].as_str().unwrap()).collect();
    let all = [
        &["configuration", "keys"],
        &OF_EDGE[..],
        &OF_EDGE[..],
        &["hello", "delivery", "delivery"],
    ];
    assert_eq!(names, all.concat());
    assert_eq!(json(&owner, &["inbox", "--all"]), json!([]), "nothing of it is in the inbox");
    assert_eq!(json(&owner, &["peers"]), json!([]), "nobody is left behind");
    let words = skein(&owner, &["doctor"]).output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.contains("ok    delivery") && words.ends_with("All is well.\n"), "{words}");
}

#[tokio::test]
async fn an_edge_that_is_gone_while_another_works_is_a_warning() {
    let mut place = Place::start(2).await;
    let owner = place.owner();
    place.kill(1);

    let report = json(&owner, &["doctor"]);

    assert_eq!(report["healthy"], true);
    let of = |edge: &str, hop: &str| {
        let hops = report["hops"].as_array().unwrap().iter();
        let mut hops = hops.filter(|one| one["edge"] == edge && one["hop"] == hop);
        hops.next().unwrap()["state"].clone()
    };
    assert_eq!(of(&place.url(1), "connect"), "warning");
    assert_eq!(of(&place.url(1), "websocket"), "skipped");
    assert_eq!(of(&place.url(0), "delivery"), "ok");
}

#[test]
fn files_that_are_missing_open_or_damaged_are_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    says(&broken(&home, "configuration"), "skein join");
    member(&home, &["ws://127.0.0.1:1/ws"]);
    let file = home.join("meshes/mesh-1.json");

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    says(&broken(&home, "configuration"), "chmod 600");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    says(&broken(&home, "configuration"), "chmod 700");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(home.join("config.json"), "{\"version\": 1, \"colour\": true}").unwrap();
    says(&broken(&home, "configuration"), "config.json");
    fs::remove_file(home.join("config.json")).unwrap();
    fs::write(&file, "{").unwrap();
    says(&broken(&home, "configuration"), "mesh-1.json");
}

#[test]
fn a_key_that_is_not_the_one_of_its_mesh_is_the_keys() {
    let folder = tempfile::tempdir().unwrap();
    member(folder.path(), &["ws://127.0.0.1:1/ws"]);
    let file = folder.path().join("meshes/mesh-1.json");
    let whole: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let wrong = [
        ("ownerSecret", Keypair::generate().secret.hex().to_string()),
        ("rootKey", "ab".into()),
        ("memberSecret", "ab".repeat(64)),
    ];

    for (field, value) in wrong {
        let mut changed = whole.clone();
        changed[field] = json!(value);
        fs::write(&file, changed.to_string()).unwrap();
        let found = broken(folder.path(), "keys");
        assert_eq!(found["mesh"], "demo", "{field}: {found}");
    }
}

#[test]
fn a_name_that_nobody_knows_is_the_dns() {
    let home = tempfile::tempdir().unwrap();
    member(home.path(), &["ws://nowhere.invalid:7900/ws"]);

    says(&broken(home.path(), "dns"), "nowhere.invalid");
}

#[test]
fn a_port_on_which_nothing_listens_is_the_connect() {
    let home = tempfile::tempdir().unwrap();
    member(home.path(), &[&format!("ws://127.0.0.1:{}/ws", free_port())]);

    says(&broken(home.path(), "connect"), "nothing listens there");
}

#[tokio::test]
async fn a_plain_port_under_a_tls_url_is_the_tls() {
    let place = Place::start(1).await;
    let owner = place.owner();
    edges(&owner, &[&place.url(0).replacen("ws:", "wss:", 1)]);

    says(&broken(&owner, "tls"), "does not speak TLS");
}

#[tokio::test]
async fn a_certificate_of_nobody_is_the_tls_until_its_authority_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let files = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    fs::write(&files[0], made.cert.pem()).unwrap();
    fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
    let [cert, key] = files.each_ref().map(|file| file.to_str().unwrap());
    let place = Place::with(&[("SKEIN_TLS_CERT", cert), ("SKEIN_TLS_KEY", key)]).await;
    let home = place.home("owner");
    let url = place.url(0).replacen("ws:", "wss:", 1);
    let args = ["mesh", "create", "demo", "--edge", &url, "--operator-token", "operator"];
    let created = skein(&home, &args).env("SSL_CERT_FILE", cert).output().unwrap();
    assert!(created.status.success(), "{created:?}");
    edges(&home, &[&url]);

    says(&broken(&home, "tls"), "SSL_CERT_FILE");

    let trusting = skein(&home, &["doctor", "--json"]).env("SSL_CERT_FILE", cert).output().unwrap();
    assert!(trusting.status.success(), "{trusting:?}");
    edges(&home, &[&place.url(0)]);
    says(&broken(&home, "edge"), "wss://");
}

#[tokio::test]
async fn another_server_at_the_port_is_the_edge() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = tempfile::tempdir().unwrap();
    member(home.path(), &[&format!("ws://{}/ws", listener.local_addr().unwrap())]);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                if client.read_u8().await.is_ok() {
                    let page = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
                    client.write_all(page).await.unwrap();
                }
            });
        }
    });

    let dir = home.path().to_owned();
    let found = tokio::task::spawn_blocking(move || broken(&dir, "edge")).await.unwrap();

    says(&found, "no edge of Skein");
}

/// Runs the doctor of a member whose only way to a real edge leads through a door.
async fn through(socket: Socket, ahead: SignedDuration, hop: &'static str) -> Value {
    let place = Place::start(1).await;
    let owner = place.owner();
    let door = Door::open(place.ports[0], socket, ahead).await;
    edges(&owner, &[&door.url]);
    tokio::task::spawn_blocking(move || broken(&owner, hop)).await.unwrap()
}

#[tokio::test]
async fn an_edge_in_another_hour_is_the_clock() {
    let found = through(Socket::Pass, SignedDuration::from_hours(3), "clock").await;
    says(&found, "3 h behind");
    says(&found, "set this machine's clock");
}

#[tokio::test]
async fn a_hello_that_is_refused_for_its_time_is_the_clock() {
    let now = SignedDuration::ZERO;
    says(&through(Socket::Refuse("timestamp_skew"), now, "clock").await, "timestamp");
}

#[tokio::test]
async fn a_proxy_that_passes_no_upgrade_is_the_websocket() {
    says(&through(Socket::CutUpgrade, SignedDuration::ZERO, "websocket").await, "upgrade");
}

#[tokio::test]
async fn a_cut_after_the_upgrade_is_the_hello() {
    says(&through(Socket::CutHello, SignedDuration::ZERO, "hello").await, "cut sockets");
}

#[tokio::test]
async fn an_edge_that_takes_nobody_is_the_hello() {
    says(&through(Socket::Close(1013), SignedDuration::ZERO, "hello").await, "takes nobody now");
}

#[tokio::test]
async fn a_cut_after_the_hello_is_the_delivery() {
    says(&through(Socket::CutMessage, SignedDuration::ZERO, "delivery").await, "not stored");
}

#[tokio::test]
async fn a_removed_membership_is_the_hello() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    assert_eq!(json(&bob, &["doctor"])["healthy"], true);

    json(&owner, &["member", "remove", "bob", "--yes"]);

    let found = broken(&bob, "hello");
    says(&found, "unauthorized");
    says(&found, "new invite");
}

#[tokio::test]
async fn a_database_that_was_stopped_is_the_database() {
    let server = Server::start(Options::default()).await.unwrap();
    let url = server.create_database("doctor").await.unwrap();
    let place = Place::at(&url).await;
    let owner = place.owner();
    assert_eq!(json(&owner, &["doctor"])["healthy"], true);

    server.stop().await.unwrap();
    wait("the edge notices", || {
        let report = run(&owner, &["doctor"]).stdout;
        let report: Value = serde_json::from_slice(&report).unwrap();
        (report["broken"]["hop"] == "database").then_some(())
    })
    .await;

    says(&broken(&owner, "database"), "start PostgreSQL");
}
