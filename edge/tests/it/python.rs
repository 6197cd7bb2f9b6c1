//! Programs of Python that read the document as strangers do: schemathesis, which tries every route
//! with what the document allows and what it does not, and a client that is generated from it.
//!
//! They are fetched with pip, at fixed versions, into the cache folder that also keeps PostgreSQL.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use sha2::{Digest, Sha256};
use tokio::process::Command;

/// What is fetched.
const REQUIREMENTS: &str = include_str!("../python/requirements.txt");

/// The folder with the programs, fetched if need be.
pub async fn tools() -> PathBuf {
    let version = "import sys; print('cp%d%d' % sys.version_info[:2], sys.platform, sep='-')";
    let version = said(python(Path::new("")).args(["-c", version])).await;
    let hash = hex::encode(Sha256::digest(REQUIREMENTS));
    let cache = tokio::task::spawn_blocking(skein_embedded::testing::cache).await.unwrap();
    let home = cache.join(format!("python-{}-{}", version.trim(), &hash[..16]));
    let lock = fs::File::create(cache.join("python.lock")).unwrap();
    // Another test may be fetching it.
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock).unwrap());
    let _lock = lock.await.unwrap();
    if home.is_dir() {
        return home;
    }
    let part = home.with_extension("part");
    fs::remove_dir_all(&part).ok();
    fs::create_dir_all(&part).unwrap();
    let requirements = part.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).unwrap();
    let mut pip = python(Path::new(""));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    pip.args(["--retries", "2", "--no-deps", "--only-binary=:all:", "--no-compile"]);
    pip.arg("--requirement").arg(&requirements).arg("--target").arg(&part);
    said(&mut pip).await;
    fs::rename(&part, &home).unwrap();
    home
}

/// Python with what lies in this folder.
pub fn python(path: &Path) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1").env("NO_COLOR", "1");
    // A proxy of the machine is not for 127.0.0.1, and files of the user are not for tests.
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "PYTHONSTARTUP"] {
        command.env_remove(name);
    }
    command.env("NO_PROXY", "127.0.0.1").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a program, which must end well; returns what it printed.
pub async fn said(command: &mut Command) -> String {
    let output = command.output().await.expect("python3 is there: ./dev test says how");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{}\n{err}", tail(&out));
    out.into_owned()
}

/// The end of what was printed, which is where a verdict stands.
fn tail(text: &str) -> &str {
    let mut start = text.len().saturating_sub(20_000);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// How many examples each operation is tried with: `SKEIN_FUZZ_EXAMPLES`, for soaks 1000.
pub fn examples() -> String {
    env::var("SKEIN_FUZZ_EXAMPLES").unwrap_or_else(|_| "25".to_owned())
}
