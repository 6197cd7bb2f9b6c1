//! Workers as processes, with the deployment's timing: signals, and what they leave behind.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
};

use crate::place::{Place, SOON};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skein-worker");

fn command(place: &Place) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("DATABASE_URL", &place.url).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn spawn(place: &Place) -> Child {
    let mut command = command(place);
    command.stderr(Stdio::null()).spawn().unwrap()
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id().expect("it runs")).unwrap();
    kill_process(Pid::from_raw(pid).expect("a process has a number"), signal).unwrap();
}

/// Starts a worker and waits until it holds this many buckets; returns its node too.
async fn start(place: &Place, shares: &[i64]) -> (Child, i32) {
    let before: Vec<i64> = place.held().await.iter().map(|h| h.0).collect();
    let child = spawn(place);
    let held = place.shared(shares).await;
    let new = held.iter().find(|h| !before.contains(&h.0)).expect("a new one holds some");
    (child, i32::try_from(new.0).unwrap())
}

#[tokio::test]
async fn a_terminated_worker_hands_over_and_ends_well() {
    let place = Place::new().await;
    let (mut first, node) = start(&place, &[64]).await;
    let (_second, _) = start(&place, &[32, 32]).await;

    signal(&first, Signal::TERM);
    let ended = tokio::time::timeout(SOON, first.wait()).await.unwrap().unwrap();
    let since = Instant::now();
    place.shared(&[64]).await;

    assert!(ended.success(), "{ended}");
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    place.reaches(node, "swept").await;
}

#[tokio::test]
async fn the_duties_of_a_killed_worker_are_taken_within_five_seconds() {
    let place = Place::new().await;
    let (mut first, node) = start(&place, &[64]).await;
    let (_second, _) = start(&place, &[32, 32]).await;

    first.kill().await.unwrap();
    let since = Instant::now();
    place.shared(&[64]).await;

    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    place.reaches(node, "swept").await;
}

#[tokio::test]
async fn the_duties_of_a_paused_worker_are_taken_once_it_is_fenced_and_it_comes_back_as_another() {
    let place = Place::new().await;
    let (first, node) = start(&place, &[64]).await;
    let (_second, _) = start(&place, &[32, 32]).await;

    signal(&first, Signal::STOP);
    let since = Instant::now();
    place.shared(&[64]).await;
    let taken_after = since.elapsed();
    let state = place.state(node).await;
    signal(&first, Signal::CONT);
    let held = place.shared(&[32, 32]).await;

    assert!(Duration::from_secs(14) < taken_after, "{taken_after:?}");
    assert!(taken_after < Duration::from_secs(25), "{taken_after:?}");
    assert!(["dead", "fenced", "swept"].contains(&state.as_str()), "{state}");
    assert!(held.iter().all(|h| h.0 != i64::from(node)), "under a new id: {held:?}");
}

#[tokio::test]
async fn a_node_whose_worker_died_between_dead_and_fenced_is_fenced_by_the_next() {
    let place = Place::new().await;
    let node = place.node("edge").await;
    let session = place.session("ann", node).await;
    skein_sql::nodes::retire(&place.db, node).await.unwrap();

    let mut first = command(&place);
    first.env("SKEIN_FAIL", "worker.dead_not_fenced=kill").stderr(Stdio::null());
    let ended = tokio::time::timeout(SOON, first.spawn().unwrap().wait()).await.unwrap().unwrap();
    let state = place.state(node).await;
    let attached = "select count(*) from presence where session = $1";
    let n_attached: i64 = place.row(attached, &[&session]).await.get(0);
    let _second = spawn(&place);
    place.reaches(node, "swept").await;

    assert!(!ended.success());
    assert_eq!((state.as_str(), n_attached), ("dead", 1), "nothing was done for it before");
    assert_eq!(place.row(attached, &[&session]).await.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn without_a_database_url_it_says_what_to_set() {
    let mut command = Command::new(PROGRAM);
    let output = command.env_clear().output().await.unwrap();

    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("DATABASE_URL"));
}

#[tokio::test]
async fn a_wrong_password_is_an_error_and_is_not_printed() {
    let place = Place::new().await;
    let (user, server) = place.url.split_once('@').unwrap();
    let (user, _) = user.rsplit_once(':').unwrap();
    let mut command = command(&place);
    command.env("DATABASE_URL", format!("{user}:hush-hush@{server}"));

    let output = tokio::time::timeout(SOON, command.output()).await.unwrap().unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("password authentication failed"), "{said}");
    assert!(!said.contains("hush"), "{said}");
}

#[tokio::test]
async fn json_logs_are_one_object_a_line() {
    let place = Place::new().await;
    let mut child = command(&place).env("SKEIN_LOG", "json").spawn().unwrap();
    place.shared(&[64]).await;
    signal(&child, Signal::TERM);

    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    child.wait().await.unwrap();

    assert!(said.lines().count() >= 3, "{said}");
    let is_object = |line: &str| line.starts_with('{') && line.ends_with('}');
    assert!(said.lines().all(is_object), "{said}");
}

#[tokio::test]
async fn a_worker_may_open_as_many_files_as_it_is_allowed() {
    let place = Place::new().await;
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 256; exec \"$0\"", PROGRAM]);
    command.env("DATABASE_URL", &place.url).stderr(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().unwrap();
    place.shared(&[64]).await;

    let limits = format!("/proc/{}/limits", child.id().expect("it runs"));
    let limits = std::fs::read_to_string(limits).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = files.split_whitespace().skip(3).take(2).collect();

    assert_eq!(numbers[0], numbers[1], "{files}");
    assert_ne!(numbers[0], "256");
}
