//! Data directories: initialised once per server version, copied for each server.
//!
//! `initdb` takes a second or more, a copy a fraction of it. Both are made under a name that says
//! they are unfinished and renamed when they are whole, so a process that is killed here leaves
//! nothing that a later one would take for a data directory.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::account::Account;
use crate::cache::Cache;
use crate::programs::Programs;
use crate::{Error, Progress, Result, settings};

/// The one role of a private server.
pub const ROLE: &str = "skein";

/// The first major in which the cost of a login can be set. A password of 128 random bits needs no
/// stretching, and a client that was built for debugging pays dearly for it.
const SCRAM_ITERATIONS_SINCE: u32 = 16;

/// What a copy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is on the disk before it is used.
    Lasting,
    /// It goes with its server, so nothing waits for the disk.
    Passing,
}

/// Where a new data directory comes from.
pub struct Source<'a> {
    /// The folder with the templates.
    pub cache: &'a Cache,
    /// The server it is for.
    pub programs: &'a Programs,
    /// Who will own it.
    pub account: &'a Account,
    /// Who hears of it.
    pub progress: Progress<'a>,
}

impl Source<'_> {
    /// Makes `directory`, whose role `skein` has this password.
    pub fn copy(&self, directory: &Path, password: &str, kind: Kind) -> Result<()> {
        let template = self.template()?;
        let part = self.part(directory)?;
        self.run("/bin/cp", &["-Rp", &text(&template.join(".")), &text(&part)])?;
        settings::write(&part, self.account, 1, Path::new(""), &[])?;
        self.set_password(&part, password)?;
        if kind == Kind::Lasting {
            self.initdb(&["--sync-only", "-D", &text(&part)])?;
        }
        fs::rename(&part, directory).map_err(Error::file("make", directory))
    }

    /// The directory that the copies are made of.
    fn template(&self) -> Result<PathBuf> {
        let name = format!("template-{}-{}", self.programs.name(), self.account.uid());
        let template = self.cache.join(name);
        if template.is_dir() {
            return Ok(template);
        }
        let _lock = self.cache.lock("lock")?;
        // Whoever held the lock before us may have done it.
        if !template.is_dir() {
            (self.progress)("initialising a database folder");
            let part = self.part(&template)?;
            self.initdb(&["-D", &text(&part), "-U", ROLE, "--auth=trust", "--no-sync"])?;
            settings::write_once(&part, self.account)?;
            fs::rename(&part, &template).map_err(Error::file("make", &template))?;
        }
        Ok(template)
    }

    /// An empty unfinished directory beside the one to be made.
    fn part(&self, directory: &Path) -> Result<PathBuf> {
        let part = directory.with_extension("part");
        if part.exists() {
            fs::remove_dir_all(&part).map_err(Error::file("remove", &part))?;
        }
        fs::create_dir(&part).map_err(Error::file("make", &part))?;
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&part, mode).map_err(Error::file("make", &part))?;
        self.account.give(&part)?;
        Ok(part)
    }

    fn initdb(&self, arguments: &[&str]) -> Result<()> {
        let initdb = self.programs.path("initdb");
        let fixed = ["--encoding=UTF8", "--locale=C"];
        self.account.run(&initdb, &[arguments, &fixed].concat()).map(drop)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        self.account.run(Path::new(program), arguments).map(drop)
    }

    /// Runs one statement without a server: nobody can connect before the password is ours.
    fn set_password(&self, directory: &Path, password: &str) -> Result<()> {
        let postgres = self.programs.path("postgres");
        let mut single = self.account.command(&postgres);
        single.args(["--single", "-c", "fsync=off"]);
        if self.programs.major() >= SCRAM_ITERATIONS_SINCE {
            single.args(["-c", "scram_iterations=1"]);
        }
        single.arg("-D").arg(directory).arg("postgres");
        single.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = single.spawn().map_err(Error::spawn(&postgres))?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let sent = writeln!(stdin, "alter role {ROLE} password '{password}'");
        drop(stdin);
        let output = child.wait_with_output().map_err(Error::spawn(&postgres))?;
        let said = String::from_utf8_lossy(&output.stderr);
        // It ends well even when the statement failed.
        if sent.is_ok() && output.status.success() && !said.contains("ERROR:") {
            return Ok(());
        }
        Err(Error::Program { program: postgres, output: said.trim().to_owned() })
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
