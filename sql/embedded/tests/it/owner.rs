//! A server and the process that owns it, which may be killed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::{ask, cache_in, is_served, open_folder, runs, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skein-embedded");

/// The user that owns nothing.
const NOBODY: u32 = 65534;

/// A process that owns a server.
struct Owner {
    child: Child,
    postmaster: u32,
    url: String,
}

impl Owner {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (pid, url) = line.trim().split_once(' ').expect("a line when it runs");
        Self { child, postmaster: pid.parse().unwrap(), url: url.to_owned() }
    }

    async fn folder(&self) -> PathBuf {
        let directory = ask(&self.url, "show data_directory").await;
        Path::new(&directory).parent().unwrap().to_owned()
    }

    fn end(&mut self, signal: Signal) -> bool {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn a_server_dies_with_an_owner_that_was_killed() {
    let mut owner = Owner::start(&mut Command::new(PROGRAM));
    let folder = owner.folder().await;

    owner.end(Signal::KILL);

    until("the postmaster is gone", || !runs(owner.postmaster)).await;
    until("nothing serves the folder", || !is_served(&folder)).await;
    until("the folder is gone", || !folder.exists()).await;
}

#[tokio::test]
async fn data_of_a_killed_owner_has_a_new_one_at_once() {
    let folder = open_folder();
    let start = || Owner::start(Command::new(PROGRAM).arg(folder.path().join("data")));
    let mut first = start();
    let (client, connection) =
        tokio_postgres::connect(&first.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("create table kept ()").await.unwrap();

    first.end(Signal::KILL);
    let mut second = start();

    assert_eq!(ask(&second.url, "select count(*)::text from kept").await, "0");
    assert!(!runs(first.postmaster));
    assert!(second.end(Signal::TERM));
    until("the guards of both are gone", || !is_served(folder.path())).await;
}

#[tokio::test]
async fn an_owner_that_is_told_to_stop_stops_its_server_first() {
    let mut owner = Owner::start(&mut Command::new(PROGRAM));
    let folder = owner.folder().await;

    let well = owner.end(Signal::INT);

    assert!(well);
    assert!(!runs(owner.postmaster));
    assert!(!folder.exists());
}

#[tokio::test]
async fn two_owners_initialise_one_cache_at_once() {
    let folder = open_folder();
    let cache = cache_in(folder.path());
    let start = || Owner::start(Command::new(PROGRAM).env("SKEIN_CACHE", &cache));

    let (mut one, mut two) = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(start), scope.spawn(start));
        (one.join().unwrap(), two.join().unwrap())
    });

    assert_eq!(ask(&one.url, "select 'one'::text").await, "one");
    assert_eq!(ask(&two.url, "select 'two'::text").await, "two");
    assert!(one.end(Signal::TERM) && two.end(Signal::TERM));
    let names = fs::read_dir(&cache).unwrap().flatten().map(|entry| entry.file_name());
    let is_template = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("template-");
    assert_eq!(names.filter(is_template).count(), 1);
}

/// Where the tests run as root, root makes itself small first.
#[tokio::test]
async fn an_ordinary_user_without_a_home_runs_a_server() {
    let folder = open_folder();
    let program = folder.path().join("skein-embedded");
    fs::copy(PROGRAM, &program).unwrap();
    let cache = cache_in(folder.path());
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let mut command = Command::new(&program);
    command.arg(&data).env("SKEIN_CACHE", &cache).env("HOME", "/nonexistent").current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
        chown(&cache, Some(NOBODY), Some(NOBODY)).unwrap();
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    }

    let mut owner = Owner::start(&mut command);

    assert_eq!(ask(&owner.url, "select 'here'::text").await, "here");
    assert!(owner.end(Signal::TERM));
    assert!(!is_served(&data));
}
