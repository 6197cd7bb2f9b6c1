//! `skein bench` against a real deployment, in small: that it counts right, and when it refuses.

use std::path::Path;

use serde_json::{Value, json};

use super::up::{Up, called, folder, skein};

/// `skein bench` against a deployment.
fn bench(home: &Path, up: &Up, arguments: &[&str]) -> std::process::Output {
    let mut command = skein(home, &["bench", "--json"]);
    for edge in up.list("edges") {
        command.args(["--edge", &edge]);
    }
    let token = up.text("operatorToken");
    command.args(["--operator-token", &token]).args(arguments).output().unwrap()
}

/// Its report.
fn report(home: &Path, up: &Up, arguments: &[&str]) -> Value {
    let output = bench(home, up, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn clean(sent: u64, expected: u64) -> Value {
    json!({
        "sent": sent, "acked": sent, "expected": expected, "received": expected,
        "lost": 0, "repeated": 0, "outOfOrder": 0, "damaged": 0,
    })
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn every_kind_of_run_counts_what_was_opened_and_says_where() {
    let folder = folder();
    let (home, data) = (folder.path().join("home"), folder.path().join("data"));
    let up = Up::start(&home, &data, &["--edges", "2"]);
    let edge = called(up.pid(), "skein-edge")[0];
    let watched = format!("edge={edge}");

    let direct = ["direct", "--pairs", "4", "--messages", "50", "--process", &watched];
    let direct = report(&home, &up, &direct);
    let fanout = report(&home, &up, &["fanout", "--peers", "5", "--messages", "10"]);
    let burst = report(&home, &up, &["burst", "--peers", "5", "--messages", "10"]);
    let hello = report(&home, &up, &["hello", "--sockets", "20"]);
    let idle = ["idle", "--sockets", "20", "--settle", "1s", "--hold", "1s"];
    let idle = report(&home, &up, &[idle.as_slice(), &["--process", &watched]].concat());
    let state = ["state", "--peers", "6", "--writers", "3", "--rate", "30", "--seconds", "1"];
    let state = report(&home, &up, &[state.as_slice(), &["--warm-up", "0"]].concat());
    // Each sends 20, one every 10 ms.
    let paced = ["direct", "--pairs", "2", "--rate", "200", "--messages", "20"];
    let paced = report(&home, &up, &[paced.as_slice(), &["--threads", "2"]].concat());

    let result =
        |report: &Value| (report["result"]["unit"].clone(), report["result"]["count"].clone());
    assert_eq!(result(&direct), (json!("messages"), json!(200)));
    assert_eq!(direct["result"]["checks"], clean(200, 200));
    assert_eq!(result(&fanout), (json!("deliveries"), json!(50)));
    assert_eq!(fanout["result"]["checks"], clean(10, 50));
    assert_eq!(result(&burst), (json!("messages"), json!(50)));
    assert_eq!(burst["result"]["checks"], clean(50, 50));
    // Three set ten each, of which five hear; what is overwritten at once need not be told.
    assert_eq!(state["result"]["unit"], "changes heard");
    assert!((15..=150).contains(&state["result"]["count"].as_u64().unwrap()), "{state}");
    assert!(state["result"]["more"]["p95Ms"].is_number(), "{state}");
    assert_eq!(result(&hello), (json!("hellos"), json!(20)));
    assert_eq!(result(&idle), (json!("sockets"), json!(20)));
    assert!(idle["result"]["more"]["rssBytesPerSocket edge"].is_number(), "{idle}");
    assert_eq!(paced["result"]["checks"], clean(40, 40));
    let seconds = paced["result"]["seconds"].as_f64().unwrap();
    assert!(seconds >= 0.19, "as slowly as it was told, or slower: {seconds}");

    let wanted = [
        "at",
        "build",
        "commit",
        "database",
        "edges",
        "load",
        "machine",
        "processes",
        "result",
        "settings",
        "what",
    ];
    assert_eq!(keys(&direct), wanted);
    let wanted = ["checks", "count", "latencyMs", "perSecond", "seconds", "unit"];
    assert_eq!(keys(&direct["result"]), wanted);
    let wanted = ["max", "p50", "p90", "p99", "p99.9"];
    assert_eq!(keys(&direct["result"]["latencyMs"]), wanted);
    assert_eq!(keys(&direct["database"]), ["fsync", "synchronousCommit", "version"]);
    assert_eq!(direct["database"]["fsync"], "on");
    assert_eq!(direct["edges"][1]["url"], json!(up.list("edges")[1]));
    let costs = direct["processes"].as_array().unwrap();
    let names: Vec<_> = costs.iter().map(|cost| cost["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["edge", "generator"]);
    let wanted = ["cores", "cpuSeconds", "cpuUsEach", "name", "peakRssBytes", "rssBytes"];
    assert_eq!(keys(&costs[0]), wanted);

    let lost = ["hello", "--reconnect", "--sockets", "20", "--kill", &edge.to_string()];
    let back = report(&home, &up, &lost);
    assert_eq!(result(&back), (json!("sessions"), json!(20)));
    assert_eq!(back["result"]["checks"], clean(100, 200));
}

#[test]
fn there_are_no_figures_of_a_database_that_does_not_keep_what_it_commits() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(skein_embedded::testing::database());
    let folder = folder();
    let (home, data) = (folder.path().join("home"), folder.path().join("data"));
    let up = Up::start(&home, &data, &["--database-url", &database.url()]);

    let refused = bench(&home, &up, &["hello", "--sockets", "1"]);

    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("fsync off"), "{said}");
    assert!(refused.stdout.is_empty());
}

#[test]
fn a_run_without_the_operators_word_or_its_process_says_what_is_missing() {
    let home = folder();
    let run = |arguments: &[&str]| {
        let output = skein(home.path(), arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };

    let (code, said) = run(&["bench", "--edge", "http://127.0.0.1:9", "hello"]);
    assert!(code == Some(2) && said.contains("--operator-token"), "{said}");
    let (code, said) = run(&["bench", "--operator-token", "x", "--edge", "nowhere", "hello"]);
    assert!(code == Some(2) && said.contains("nowhere"), "{said}");
    let (code, said) = run(&["bench", "--process", "edge", "hello"]);
    assert!(code == Some(2) && said.contains("NAME=PID"), "{said}");
}
