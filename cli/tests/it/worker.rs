//! `skein worker`: who holds what, for the operator alone.

use serde_json::Value;

use crate::place::{Place, fails, skein, wait};

#[tokio::test]
async fn the_operator_sees_what_each_worker_holds_and_nobody_else_does() {
    let place = Place::with_worker(1).await;
    let home = place.home("operator");
    let status = ["worker", "status", "--edge", &place.url(0)];
    let (_, error) = fails(&home, &[&status[..], &["--operator-token", "wrong"]].concat(), 5);
    assert!(["forbidden", "unauthorized"].contains(&error["code"].as_str().unwrap()), "{error}");

    let look = |more: &[&str]| {
        let mut command = skein(&home, &[&status[..], more].concat());
        let output = command.env("SKEIN_OPERATOR_TOKEN", "operator").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let all = wait("one worker holds everything", || {
        let workers: Value = serde_json::from_str(&look(&["--json"])).unwrap();
        let duties = workers[0]["duties"].as_array().cloned().unwrap_or_default();
        let is_whole = duties.len() >= 5 && duties.iter().all(|duty| duty["buckets"] == 64);
        is_whole.then_some(duties)
    });
    let kinds: Vec<_> = all.await.into_iter().map(|duty| duty["kind"].clone()).collect();
    for kind in ["schedule", "clock", "watch", "sweep", "audit"] {
        assert!(kinds.contains(&kind.into()), "{kinds:?}");
    }
    let words = look(&[]);
    assert!(words.starts_with("worker ") && words.contains("  alive, since "), "{words}");
    assert!(words.contains("\n  schedule  64 of 64 shares, "), "{words}");
    assert!(!words.contains("nobody's"), "{words}");
}
