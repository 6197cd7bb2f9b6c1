//! A server in the process that owns it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use skein_embedded::{Database, Error, Options, Server};

use crate::{ask, connect, is_served, open_folder, runs, until};

#[tokio::test]
async fn a_server_starts_answers_and_keeps_its_promises_to_the_disk() {
    let server = Server::start(Options::default()).await.unwrap();
    let url = server.url("postgres");

    let version = ask(&url, "show server_version_num").await;
    let fsync = ask(&url, "show fsync").await;
    let naptime = ask(&url, "show autovacuum_naptime").await;
    let role = ask(&url, "select current_user::text").await;
    let vector = "select count(*)::text from pg_available_extensions where name = 'vector'";

    assert_eq!(version, server.version().to_string());
    assert_eq!((fsync.as_str(), naptime.as_str(), role.as_str()), ("on", "5s", "skein"));
    assert_eq!(ask(&url, vector).await == "1", server.has_vector().await.unwrap());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_connects_without_the_password() {
    let server = Server::start(Options::default()).await.unwrap();
    let url = format!("postgres://skein:wrong@127.0.0.1:{}/postgres", server.port());

    let refused = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;

    assert!(refused.is_err());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn settings_of_the_owner_win() {
    let settings = vec![("max_connections".to_owned(), "17".to_owned())];

    let server = Server::start(Options { settings, ..Options::default() }).await.unwrap();

    assert_eq!(ask(&server.url("postgres"), "show max_connections").await, "17");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_setting_is_said_in_the_words_of_the_server() {
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];

    let error = Server::start(Options { settings, ..Options::default() }).await.unwrap_err();

    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[tokio::test]
async fn two_servers_start_at_once() {
    let start = || Server::start(Options::default());

    let (one, two) = tokio::join!(start(), start());

    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.port(), two.port());
    assert_ne!(one.data(), two.data());
    assert_eq!(ask(&one.url("postgres"), "select 'one'::text").await, "one");
    assert_eq!(ask(&two.url("postgres"), "select 'two'::text").await, "two");
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_committed_survives_the_death_of_the_postmaster() {
    let mut server = Server::start(Options::default()).await.unwrap();
    let url = server.url("postgres");
    let client = connect(&url).await;
    client
        .batch_execute("create table kept (word text); insert into kept values ('word')")
        .await
        .unwrap();

    let pid = server.pid();
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    until("the postmaster is gone", || !runs(pid)).await;
    server.resume().await.unwrap();

    assert_ne!(server.pid(), pid);
    assert_eq!(server.url("postgres"), url);
    assert_eq!(ask(&url, "select word from kept").await, "word");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_immediate_restart_keeps_port_and_data() {
    let mut server = Server::start(Options::default()).await.unwrap();
    let url = server.url("postgres");
    let client = connect(&url).await;
    client
        .batch_execute("create table kept (word text); insert into kept values ('word')")
        .await
        .unwrap();

    server.restart_immediate().await.unwrap();

    assert!(client.simple_query("select").await.is_err());
    assert_eq!(ask(&url, "select word from kept").await, "word");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_of_a_temporary_server() {
    let server = Server::start(Options::default()).await.unwrap();
    let folder = server.data().to_owned();
    assert!(is_served(&folder));

    server.stop().await.unwrap();

    assert!(!is_served(&folder));
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_server_that_is_dropped_is_gone() {
    let server = Server::start(Options::default()).await.unwrap();
    let (folder, pid) = (server.data().to_owned(), server.pid());

    drop(server);

    assert!(!runs(pid));
    assert!(!is_served(&folder));
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_named_folder_keeps_the_data_and_has_one_owner() {
    let folder = open_folder();
    let data = folder.path().join("some where").join("data");
    let options = || Options { data: Some(data.clone()), ..Options::default() };
    let first = Server::start(options()).await.unwrap();
    let url = first.create_database("things").await.unwrap();
    assert_eq!(first.create_database("things").await.unwrap(), url);
    connect(&url).await.batch_execute("create table kept ()").await.unwrap();

    let second = Server::start(options()).await.unwrap_err();
    first.stop().await.unwrap();
    let third = Server::start(options()).await.unwrap();

    assert!(matches!(second, Error::InUse { .. }), "{second}");
    let count = "select count(*)::text from kept";
    assert_eq!(ask(&third.url("things"), count).await, "0");
    third.stop().await.unwrap();
}

#[tokio::test]
async fn a_lock_file_with_the_number_of_another_process_harms_nobody() {
    let folder = open_folder();
    let data = folder.path().join("data");
    let options = || Options { data: Some(data.clone()), ..Options::default() };
    Server::start(options()).await.unwrap().stop().await.unwrap();
    let main = data.join("main");
    let mut other = Command::new("/bin/sh");
    other.args(["-c", "read -r _"]).stdin(Stdio::piped());
    let owner = fs::metadata(&main).unwrap();
    if rustix::process::geteuid().is_root() {
        // A process of another user would not be taken for a server.
        other.uid(owner.uid()).gid(owner.gid());
    }
    let mut other = other.spawn().unwrap();
    fs::write(main.join("postmaster.pid"), format!("{}\n{}\n", other.id(), main.display()))
        .unwrap();

    let server = Server::start(options()).await.unwrap();

    assert_eq!(ask(&server.url("postgres"), "select 'here'::text").await, "here");
    assert!(other.try_wait().unwrap().is_none());
    server.stop().await.unwrap();
    drop(other.stdin.take());
    other.wait().unwrap();
}

#[tokio::test]
async fn a_folder_too_deep_for_a_socket_serves_too() {
    let folder = open_folder();
    let data = folder.path().join("d".repeat(120));

    let server = Server::start(Options { data: Some(data), ..Options::default() }).await.unwrap();

    assert_eq!(ask(&server.url("postgres"), "select 'here'::text").await, "here");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn root_keeps_data_where_the_server_can_reach_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = open_folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let data = folder.path().join("home/data");

    let server = Server::start(Options { data: Some(data.clone()), ..Options::default() });
    let server = server.await.unwrap();

    assert_eq!(data.canonicalize().unwrap(), server.data());
    let place = server.data().to_owned();
    server.stop().await.unwrap();
    fs::remove_dir_all(place).unwrap();
}

#[tokio::test]
async fn a_system_server_serves_and_its_data_is_refused_by_another_version() {
    let Some(programs) = system() else { return };
    let folder = open_folder();
    let data = Some(folder.path().join("data"));
    let programs = Some(programs);
    let system = Options { data: data.clone(), programs: programs.clone(), ..Options::default() };

    let server = Server::start(system).await.unwrap();
    let version = ask(&server.url("postgres"), "show server_version_num").await;
    assert_eq!(version, server.version().to_string());
    server.stop().await.unwrap();

    // Without a wish for programs, those that fit the data are found.
    let again = Server::start(Options { data: data.clone(), ..Options::default() }).await.unwrap();
    assert_eq!(version, again.version().to_string());
    again.stop().await.unwrap();
    fs::write(folder.path().join("data/main/PG_VERSION"), "9\n").unwrap();
    for programs in [None, programs] {
        let wish = Options { data: data.clone(), programs, ..Options::default() };
        let other = Server::start(wish).await.unwrap_err();
        assert!(matches!(other, Error::OtherVersion { major: 9, .. }), "{other}");
    }
}

#[tokio::test]
async fn a_given_database_is_taken_as_it_is() {
    let given = "postgres://somewhere/else";

    let database = Database::open(Some(given.to_owned()), "skein", Options::default()).await;

    let database = database.unwrap();
    assert_eq!(database.url(), given);
    database.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_given_database_there_is_a_private_one() {
    let database = Database::open(None, "skein", Options::default()).await.unwrap();

    assert_eq!(ask(database.url(), "select current_database()::text").await, "skein");
    database.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_stays_away_until_it_is_resumed() {
    let mut server = Server::start(Options::default()).await.unwrap();
    let pid = server.pid();

    server.kill().await;

    let url = server.url("postgres");
    assert!(tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_err());
    until("the postmaster is gone", || !runs(pid)).await;
    server.resume().await.unwrap();
    assert_eq!(ask(&url, "select 'back'::text").await, "back");
    server.stop().await.unwrap();
}

/// A server of the system, where there is one that is new enough.
fn system() -> Option<PathBuf> {
    let majors = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut found = majors.map(|major| major.path().join("bin"));
    found.find(|folder: &PathBuf| Path::new(&folder.join("initdb")).is_file())
}
