//! As whom the server runs.
//!
//! PostgreSQL refuses root. Root hands it to the user `postgres`, or to `nobody` where that one
//! does not exist; anybody else runs it as themselves. What the server touches must then belong to
//! that user, and every folder above it must let that user through.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// Whom root hands the server to, best first.
const STEWARDS: [&str; 2] = ["postgres", "nobody"];

/// The user that runs the server.
#[derive(Debug, Clone)]
pub struct Account {
    uid: u32,
    /// Set when root hands over to somebody else.
    steward: Option<Steward>,
}

#[derive(Debug, Clone)]
struct Steward {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// Ourselves, or the steward if we are root.
    pub fn current() -> Result<Self> {
        let uid = rustix::process::geteuid();
        if !uid.is_root() {
            return Ok(Self { uid: uid.as_raw(), steward: None });
        }
        let path = Path::new("/etc/passwd");
        let users = fs::read_to_string(path).map_err(Error::file("read", path))?;
        let steward = STEWARDS.iter().find_map(|name| steward(&users, name));
        let steward = steward.ok_or(Error::NoAccount)?;
        Ok(Self { uid: steward.uid, steward: Some(steward) })
    }

    /// The number of this user.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The name of the user that root hands over to.
    pub fn steward(&self) -> Option<&str> {
        self.steward.as_ref().map(|steward| steward.name.as_str())
    }

    /// A program of this user: nothing of our environment, and a folder that anybody may be in.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some(steward) = &self.steward {
            command.uid(steward.uid).gid(steward.gid);
        }
        command
    }

    /// Runs a program of this user to its end; its output is in the error when it fails.
    pub fn run(&self, program: &Path, arguments: &[&str]) -> Result<String> {
        let output = self.command(program).args(arguments).output();
        let output = output.map_err(Error::spawn(program))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        if output.status.success() {
            return Ok(said);
        }
        Err(Error::Program { program: program.to_owned(), output: said })
    }

    /// Makes the file or folder this user's own.
    pub fn give(&self, path: &Path) -> Result<()> {
        match &self.steward {
            Some(Steward { uid, gid, .. }) => {
                chown(path, Some(*uid), Some(*gid)).map_err(Error::file("hand over", path))
            }
            None => Ok(()),
        }
    }

    /// Whether every folder down to this one lets the user through.
    pub fn enters(&self, folder: &Path) -> bool {
        let mut shell = self.command(Path::new("/bin/sh"));
        shell.args(["-c", r#"cd "$1""#, "sh"]).arg(folder).stdout(Stdio::null());
        shell.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

fn steward(users: &str, name: &str) -> Option<Steward> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2).map(str::parse);
    let (Some(Ok(uid)), Some(Ok(gid))) = (numbers.next(), numbers.next()) else { return None };
    Some(Steward { name: name.to_owned(), uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steward_is_found_by_the_whole_name() {
        let users = "nobody2:x:7:8::/:/bin/sh\nnobody:x:65534:65533:n:/nonexistent:/bin/false\n";

        let found = steward(users, "nobody").unwrap();

        assert_eq!((found.uid, found.gid), (65534, 65533));
        assert!(steward(users, "postgres").is_none());
        assert!(steward("postgres:x:broken", "postgres").is_none());
    }
}
