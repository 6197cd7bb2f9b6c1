//! Files of peers: read by commands and tools from an agent that shares a folder, across edges, and
//! refused by everybody who does not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};
use tokio::time::timeout;

use crate::edge::DEADLINE;
use crate::mcp::host::{Host, program};
use crate::place::{Follower, Place, fails, json, skein, wait};

/// An agent that shares a folder, or nothing; what it says on standard error is read.
struct Sharer {
    _child: Child,
    said: Lines<BufReader<ChildStderr>>,
}

impl Sharer {
    async fn start(home: &Path, args: &[&str]) -> Self {
        let mut command = program(home, args);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { _child: child, said }
    }

    /// The next line that its user is told.
    async fn said(&mut self) -> String {
        let line = timeout(DEADLINE, self.said.next_line()).await.expect("something is said");
        line.unwrap().expect("it runs")
    }
}

/// Waits until somebody of this name is there, as `home` sees it.
async fn here(home: &Path, name: &str) {
    let is_it = |peer: &Value| peer["displayName"] == name;
    let look = || json(home, &["peers"]).as_array().unwrap().iter().any(is_it).then_some(());
    wait("the peer is here", look).await;
}

fn folder(place: &Place) -> std::path::PathBuf {
    let folder = place.folder.path().join("shared");
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("src/main.rs"), "fn main() {}\n").unwrap();
    fs::write(folder.join("bytes"), [0, 159, 146, 150]).unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(folder.join(".secret"), "no").unwrap();
    fs::write(place.folder.path().join("outside"), "no").unwrap();
    symlink("../outside", folder.join("out")).unwrap();
    folder
}

#[tokio::test]
async fn what_an_agent_shares_is_read_and_listed_across_edges_and_each_read_is_told() {
    let place = Place::start(2).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    json(&bob, &["config", "set", "edges", &place.url(1)]);
    let share = format!("--share-files={}", folder(&place).display());
    let mut sharer = Sharer::start(&bob, &[&share]).await;
    here(&owner, "bob").await;

    let listed = json(&owner, &["peer-file", "list", "bob"]);
    assert_eq!(listed, json!(["bytes", "empty", "src/", "src/main.rs"]));
    let told = sharer.said().await;
    assert!(told.starts_with("skein: [demo] \"owner\" listed .: 4"), "{told}");
    assert_eq!(
        json(&owner, &["peer-file", "list", "bob", "src", "--pattern", "*.RS"]),
        json!(["main.rs"])
    );
    sharer.said().await;

    let read = json(&owner, &["peer-file", "read", "bob", "bytes"]);
    assert_eq!(read["content"], STANDARD.encode([0, 159, 146, 150]));
    assert_eq!(sharer.said().await, "skein: [demo] \"owner\" read bytes: 4");
    let plain = skein(&owner, &["peer-file", "read", "bob", "src/main.rs"]).output().unwrap();
    assert_eq!(plain.stdout, b"fn main() {}\n");
    sharer.said().await;
    let copy = place.folder.path().join("copy");
    let output = copy.to_str().unwrap();
    let saved = json(&owner, &["peer-file", "read", "bob", "empty", "--output", output]);
    assert_eq!((&saved["bytes"], fs::read(&copy).unwrap().len()), (&json!(0), 0));
    sharer.said().await;

    for (path, why) in [
        ("../outside", "path traversal not allowed"),
        ("out", "file not found"),
        ("/etc/hostname", "file outside shared directories"),
        (".secret", "file outside shared directories"),
        ("nothing", "file not found"),
        ("src", "not a file"),
    ] {
        let (_, error) = fails(&owner, &["peer-file", "read", "bob", path], 5);
        assert_eq!(error["code"], "peer_refused");
        assert_eq!(error["message"], format!("refused: {why}"), "{path}");
        let told = sharer.said().await;
        assert_eq!(told, format!("skein: [demo] \"owner\" read {path}: refused: {why}"));
    }
    let (_, error) = fails(&owner, &["peer-file", "list", "bob", "nothing"], 5);
    assert_eq!(error["message"], "refused: directory not found");
}

#[tokio::test]
async fn who_was_not_told_to_share_refuses_at_once() {
    let place = Place::start(1).await;
    let owner = place.owner();
    let (agent, person) = (place.member(&owner, "agent"), place.member(&owner, "person"));
    let _agent = Sharer::start(&agent, &[]).await;
    let _person = Follower::start(&person);

    for name in ["agent", "person"] {
        here(&owner, name).await;
        for what in ["read", "list"] {
            let (_, error) = fails(&owner, &["peer-file", what, name, "a"], 5);
            assert_eq!(error["message"], "refused: this session shares no files", "{name}");
        }
    }
    // Who is away is asked nothing.
    let away = place.member(&owner, "away");
    let key = json(&away, &["whoami"])[0]["memberPubkey"].as_str().unwrap_or("away").to_owned();
    let (_, error) = fails(&owner, &["peer-file", "read", &key, "a"], 5);
    assert_eq!(error["code"], "peer_not_found");
}

#[tokio::test]
async fn agents_read_each_other_s_files_with_the_tools_of_the_contract() {
    let place = Place::start(2).await;
    let owner = place.owner();
    let bob = place.member(&owner, "bob");
    json(&bob, &["config", "set", "edges", &place.url(1)]);
    let share = format!("--share-files={}", folder(&place).display());
    let _sharer = Sharer::start(&bob, &[&share]).await;
    here(&owner, "bob").await;
    let host = Host::start(&owner, &[]).await;

    let listed = host.say("list_peer_files", json!({"peer": "BOB"})).await;
    assert!(listed.contains("]\nbytes\nempty\nsrc/\nsrc/main.rs\n[end of peer text "), "{listed}");
    let read = host.say("read_peer_file", json!({"peer": "bob", "path": "src/main.rs"})).await;
    assert!(read.starts_with("(This peer is on the same machine"), "{read}");
    assert!(read.contains("]\nfn main() {}\n\n[end of peer text "), "{read}");
    let empty = host.say("read_peer_file", json!({"peer": "bob", "path": "empty"})).await;
    assert!(empty.ends_with("The file is empty."), "{empty}");
    for (path, why) in [("/x", "file outside shared directories"), ("x", "file not found")] {
        let (text, is_error) =
            host.call("read_peer_file", json!({"peer": "bob", "path": path})).await;
        let said = format!("read_peer_file: the peer refuses, in its words \"{why}\"");
        assert_eq!((text, is_error), (said, true));
    }
    let (text, is_error) = host.call("list_peer_files", json!({"peer": "*"})).await;
    assert!(is_error && text.contains("name one peer"), "{text}");
}

#[test]
fn a_folder_that_is_none_is_not_shared() {
    let home = tempfile::tempdir().unwrap();
    let output = skein(home.path(), &["mcp", "--share-files=/nowhere/at/all"]).output().unwrap();

    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/at/all"));
}
