//! What a private server promises, against real servers and real processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod owner;
mod server;
mod testing;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

/// Everything here is over within this time on a slow machine.
const SOON: Duration = Duration::from_secs(30);

/// Connects; the connection ends with the client.
async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The only value of the only row.
async fn ask(url: &str, question: &str) -> String {
    connect(url).await.query_one(question, &[]).await.unwrap().get(0)
}

/// Waits until the condition holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process whose command line names this folder runs.
fn is_served(folder: &Path) -> bool {
    let folder = folder.to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut commands =
        processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    commands.any(|command| String::from_utf8_lossy(&command).contains(&folder))
}

/// Whether this process runs.
fn runs(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

/// An empty cache that borrows the unpacked server of the real one, if there is one.
fn cache_in(folder: &Path) -> PathBuf {
    let cache = folder.join("cache");
    fs::create_dir(&cache).unwrap();
    for entry in fs::read_dir(skein_embedded::cache_folder()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("postgresql-") {
            std::os::unix::fs::symlink(entry.path(), cache.join(name)).unwrap();
        }
    }
    cache
}

/// A folder that the server's user may pass through.
fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("skein-test-").permissions(mode).tempdir().unwrap()
}
