//! What a server of the old kind is asked, and lists that do not fit.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use super::{home, printed, remind, taken, words};
use crate::edge::{DEADLINE, Edge, Peer};

/// Takes a connection as a server of the old kind.
async fn old(edge: &Edge) -> Peer {
    let mut peer = edge.greeted().await;
    peer.acknowledge_as_old().await;
    peer
}

/// What a client says to a server until it leaves.
async fn heard(mut peer: Peer) -> Vec<Value> {
    let mut heard = Vec::new();
    while let Some(frame) = peer.rest().await {
        heard.push(frame);
    }
    heard
}

#[tokio::test]
async fn a_server_of_the_old_kind_is_asked_nothing_that_it_would_not_heed() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &edge.url);
    let plain = ["remind", "--plain", "x"];
    let with = |more: &[&'static str]| [&plain[..], more].concat();
    let cases = [
        (vec!["remind", "x", "in", "1h"], "sealed", "--plain"),
        (vec!["remind", "--dry-run", "x", "in", "1h"], "sealed", "--plain"),
        (with(&["--cron", "0 9 * * *", "--tz", "Europe/Berlin"]), "time zones", "--tz UTC"),
        (with(&["--in", "1h", "--missed", "all"]), "`missed`", "--missed"),
        (with(&["--in", "1h", "--overlap", "skip"]), "`overlap`", "--overlap"),
        (with(&["--in", "1h", "--jitter", "1m"]), "`jitter`", "--jitter"),
        (with(&["--in", "1h", "--priority", "low"]), "`priority`", "--priority"),
        (vec!["schedule", "pause", "a"], "lists and cancels", "cancel"),
        (vec!["schedule", "resume", "a"], "lists and cancels", "cancel"),
        (vec!["schedule", "run", "a"], "lists and cancels", "cancel"),
        (vec!["schedule", "show", "a"], "lists and cancels", "cancel"),
        (vec!["watch", "test", "https://example.org/"], "tries no watch", "watch add"),
        (vec!["watch", "add", "https://example.org/", "--group", "@a"], "no group", "--group"),
    ];

    for (args, why, fix) in cases {
        let runs = async {
            let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
            command.args(&args).arg("--json").env("SKEIN_HOME", dir.path()).env("TZ", "UTC");
            command.env_remove("RUST_LOG").stdin(Stdio::null()).kill_on_drop(true);
            timeout(DEADLINE, command.output()).await.expect("the program ends").unwrap()
        };
        let (output, said) = tokio::join!(runs, async { heard(old(&edge).await).await });

        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        let error = &error["error"];
        assert_eq!(error["code"], "unsupported", "{args:?}");
        assert!(error["message"].as_str().unwrap().contains(why), "{args:?}: {error}");
        assert!(error["hint"].as_str().unwrap().contains(fix), "{args:?}: {error}");
        assert_eq!(said, Vec::<Value>::new(), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[tokio::test]
async fn a_server_of_the_old_kind_is_asked_what_it_knows() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &edge.url);
    let serve = async {
        let mut calls = Vec::new();
        for _ in 0..2 {
            calls.push(taken(&mut old(&edge).await).await);
        }
        calls
    };
    let runs = async {
        let once = remind(dir.path(), &["--plain", "tea", "in", "1h"]).await;
        let cron = ["--plain", "tea", "--cron", "0 9 * * *", "--tz", "UTC"];
        [once, remind(dir.path(), &cron).await]
    };

    let (outputs, calls) = tokio::join!(runs, serve);

    assert!(outputs.iter().all(|output| words(output).contains("Scheduled.")));
    assert!(calls.iter().all(|call| call["message"] == "tea"), "{calls:?}");
}

#[tokio::test]
async fn a_list_says_how_many_it_leaves_out_and_a_beginning_may_mean_one_of_them() {
    let edge = Edge::start().await;
    let dir = tempfile::tempdir().unwrap();
    home(dir.path(), &edge.url);
    let one = json!({
        "id": "9a2d7c36-4f0e-4c52-8f64-6c1f30a1b2c3", "to": "@team", "message": "tea",
        "deliverAt": 4_000_000_000_000_i64, "createdAt": 0,
    });
    let serve = async {
        for _ in 0..3 {
            let mut peer = edge.attached().await;
            let asked = peer.receive().await;
            assert_eq!(asked["type"], "list_scheduled", "{asked}");
            peer.send(json!({
                "type": "scheduled_list", "messages": [one], "more": 7, "_reqId": asked["_reqId"],
            }))
            .await;
            assert_eq!(peer.rest().await, None, "nothing else is asked");
        }
    };
    let skein = async |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
        command.args(args).env("SKEIN_HOME", dir.path()).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).kill_on_drop(true);
        timeout(DEADLINE, command.output()).await.expect("the program ends").unwrap()
    };
    let runs = async {
        let listed = skein(&["schedule", "list"]).await;
        let program = skein(&["schedule", "list", "--json"]).await;
        [listed, program, skein(&["schedule", "cancel", "9a2d"]).await]
    };

    let ([listed, program, cut], ()) = tokio::join!(runs, serve);

    assert!(words(&listed).ends_with("\nand 7 more, which did not fit\n"), "{}", words(&listed));
    assert_eq!(printed(&program)["more"], 7);
    let said = String::from_utf8(cut.stderr).unwrap();
    assert!(said.contains("7 schedules of yours are not listed"), "{said}");
    assert_eq!(cut.status.code(), Some(3), "{said}");
}
