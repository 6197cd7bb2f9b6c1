//! The server that the tests of a run share.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use skein_embedded::testing::{TestDatabase, database, database_from};

use crate::{ask, cache_in, connect, is_served, open_folder, until};

#[tokio::test]
async fn a_database_is_fresh_and_goes_with_its_test() {
    let (one, two) = tokio::join!(database(), database());
    let count = "select count(*)::text from pg_class where relname = 'mine'";
    connect(&one.url()).await.batch_execute("create table mine ()").await.unwrap();

    assert_eq!(ask(&one.url(), count).await, "1");
    assert_eq!(ask(&two.url(), count).await, "0");

    let (server, name) = (one.server_url(), one.name().to_owned());
    drop(one);
    let left = format!("select count(*)::text from pg_database where datname = '{name}'");
    assert_eq!(ask(&server, &left).await, "0");
}

#[tokio::test]
async fn a_template_is_prepared_once_and_copied_for_each() {
    let prepared = AtomicUsize::new(0);
    let key = format!("key {}", std::process::id());
    let prepare = async |url: String| {
        prepared.fetch_add(1, Ordering::SeqCst);
        let client = connect(&url).await;
        client.batch_execute("create table from_template ()").await
    };

    let made: [TestDatabase; 3] = tokio::join!(
        database_from(&key, prepare),
        database_from(&key, prepare),
        database_from(&key, prepare)
    )
    .into();

    assert_eq!(prepared.load(Ordering::SeqCst), 1);
    for database in &made {
        let count = "select count(*)::text from from_template";
        assert_eq!(ask(&database.url(), count).await, "0");
    }
}

#[tokio::test]
async fn a_template_that_could_not_be_prepared_is_prepared_again() {
    let key = format!("broken key {}", std::process::id());
    let broken = tokio::spawn({
        let key = key.clone();
        async move { database_from(&key, async |_| Err("no such thing")).await }
    });
    assert!(broken.await.is_err());

    let whole = database_from(&key, async |_| Ok::<(), &str>(())).await;

    assert_eq!(ask(&whole.url(), "select 'here'::text").await, "here");
}

#[tokio::test]
async fn a_shared_server_ends_when_nobody_has_used_it_for_a_minute() {
    let server = Apart::start().await;
    let long_ago = SystemTime::now() - Duration::from_secs(120);

    let used = File::options().write(true).open(server.folder.join("used")).unwrap();
    used.set_modified(long_ago).unwrap();

    server.is_gone().await;
}

#[tokio::test]
async fn a_shared_server_ends_when_it_is_told_to() {
    let server = Apart::start().await;

    fs::remove_file(server.folder.join("used")).unwrap();

    server.is_gone().await;
}

/// A shared server in a cache of its own, which one test in another process has used.
struct Apart {
    _cache: tempfile::TempDir,
    folder: PathBuf,
    port: u16,
}

impl Apart {
    async fn start() -> Self {
        let folder = open_folder();
        let cache = cache_in(folder.path());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "testing::a_database_is_fresh_and_goes_with_its_test"]);
        let output = command.env("SKEIN_CACHE", &cache).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let state = fs::read_to_string(cache.join("test-server")).unwrap();
        let mut lines = state.lines();
        let port = lines.next().unwrap().parse().unwrap();
        let server = Self { _cache: folder, folder: lines.nth(1).unwrap().into(), port };
        assert!(server.answers(), "it outlives the test that started it");
        server
    }

    fn answers(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    async fn is_gone(&self) {
        until("the port is closed", || !self.answers()).await;
        until("the folder is gone", || !self.folder.exists()).await;
        until("no process is left", || !is_served(&self.folder)).await;
    }
}
