//! Fail points: named places where a test can stop or kill a program.
//!
//! Random kills hardly hit the narrow places of the protocol, so those places have names, and the
//! variable `SKEIN_FAIL` says what happens at them. Nothing outside tests sets it, and unset it
//! costs one load. Several points are separated by commas:
//!
//! - `name=kill`: the process ends at once, as a SIGKILL would end it.
//! - `name=pause:2000`: whoever passes waits that many milliseconds.
//! - `name=file:/path`: whoever passes waits while `/path` exists.
//!
//! `@3` at the end of any of them means at the third passing only; without it, at every one. When
//! a point acts it first creates `/path.hit`, if it is of the `file` form, so that a test knows.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often a point looks whether its file is gone.
const FILE_POLL: Duration = Duration::from_millis(10);

static POINTS: LazyLock<Vec<Point>> = LazyLock::new(|| {
    let text = std::env::var("SKEIN_FAIL").unwrap_or_default();
    text.split(',').filter(|part| !part.is_empty()).map(parse).collect()
});

#[derive(Debug)]
struct Point {
    name: String,
    action: Action,
    /// The passing at which it acts, counted from one; every one when absent.
    only: Option<u64>,
    passed: AtomicU64,
}

#[derive(Debug, PartialEq)]
enum Action {
    Kill,
    Pause(Duration),
    File(PathBuf),
}

/// Does what `SKEIN_FAIL` says about `name`: nothing, outside tests.
///
/// # Panics
/// When `SKEIN_FAIL` cannot be read: a test that injects nothing would prove nothing.
pub async fn point(name: &str) {
    for point in POINTS.iter().filter(|point| point.name == name) {
        let passing = point.passed.fetch_add(1, Ordering::Relaxed) + 1;
        if point.only.is_none_or(|only| only == passing) {
            act(&point.action).await;
        }
    }
}

async fn act(action: &Action) {
    match action {
        Action::Kill => {
            // No signal to oneself without `unsafe`; an abort runs no destructor either.
            std::process::abort()
        }
        Action::Pause(time) => tokio::time::sleep(*time).await,
        Action::File(path) => {
            let mut hit = path.clone().into_os_string();
            hit.push(".hit");
            std::fs::write(hit, []).expect("a fail point's folder can be written");
            while path.exists() {
                tokio::time::sleep(FILE_POLL).await;
            }
        }
    }
}

fn parse(part: &str) -> Point {
    let (name, action) = part.split_once('=').expect("SKEIN_FAIL is name=action");
    let (action, only) = match action.rsplit_once('@') {
        Some((action, only)) => (action, Some(only.parse().expect("SKEIN_FAIL ends in a number"))),
        None => (action, None),
    };
    let action = match action.split_once(':') {
        None if action == "kill" => Action::Kill,
        Some(("pause", ms)) => {
            Action::Pause(Duration::from_millis(ms.parse().expect("a pause in milliseconds")))
        }
        Some(("file", path)) => Action::File(path.into()),
        _ => panic!("SKEIN_FAIL knows kill, pause:MS and file:PATH, not {action}"),
    };
    Point { name: name.into(), action, only, passed: AtomicU64::new(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let killed = parse("edge.before_commit=kill@3");
        let paused = parse("a=pause:2000");
        let filed = parse("b=file:/tmp/gate");

        assert_eq!((killed.action, killed.only), (Action::Kill, Some(3)));
        assert_eq!((paused.action, paused.only), (Action::Pause(Duration::from_secs(2)), None));
        assert_eq!(filed.action, Action::File("/tmp/gate".into()));
        assert_eq!(killed.name, "edge.before_commit");
    }
}
