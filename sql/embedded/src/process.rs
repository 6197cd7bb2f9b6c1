//! One running postmaster, and the shell that ends it when its owner is gone.
//!
//! A killed owner runs no code of ours, so somebody else must end the server. A small shell does:
//! it waits for the end of its standard input, which only the owner holds open. (The kernel could
//! signal a child whose parent dies, but asking it to is unsafe code.) An owner that ended the
//! server itself ends the shell, too.
//!
//! Both run in process groups of their own: Ctrl-C at a terminal reaches the owner alone, which
//! then ends its server last.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::account::Account;
use crate::programs::Programs;
use crate::{Error, Result};

/// Recovery after a crash of a large database takes this long and no longer.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How long a fast stop may take; it writes a checkpoint.
const FAST_WITHIN: Duration = Duration::from_secs(30);

/// How long an immediate stop may take.
const IMMEDIATE_WITHIN: Duration = Duration::from_secs(10);

/// How often a process or file is looked at while we wait for it.
const LOOK: Duration = Duration::from_millis(5);

/// The end of the log that goes into an error.
const LOG_BYTES_SHOWN: u64 = 2_000;

/// Ends the postmaster `$1` of the directory `$2` with the signal `$3`, then removes `$4`.
///
/// Only a postmaster that owns its directory is signalled: a number may be somebody else's by now.
/// One that has just been started may not own it yet.
const END: &str = r#"
ours() { [ "$(head -n 1 "$2/postmaster.pid" 2>/dev/null)" = "$1" ] && kill -0 "$1" 2>/dev/null; }
looks=0
while kill -0 "$1" 2>/dev/null && [ ! -s "$2/postmaster.pid" ] && [ $looks -lt 20 ]; do
    sleep 0.1
    looks=$((looks + 1))
done
for signal in "$3" QUIT KILL; do
    if ours "$@"; then kill -s "$signal" "$1"; fi
    looks=0
    while ours "$@" && [ $looks -lt 100 ]; do sleep 0.1; looks=$((looks + 1)); done
done
if [ -n "$4" ]; then rm -rf "$4"; fi
"#;

/// Waits for the end of the owner.
const AWAIT_OWNER: &str = r"
trap '' HUP INT TERM
read -r _
";

/// Waits until nobody has touched the file `$5` for a minute, or somebody removed it.
///
/// The file is taken away before the last look: who touched it and still finds it there afterwards
/// has the server for another minute.
const AWAIT_IDLE: &str = r#"
trap '' HUP INT TERM
used() { [ -n "$(find "$1" -mmin -1 2>/dev/null)" ]; }
while kill -0 "$1" 2>/dev/null; do
    if ! used "$5"; then
        mv "$5" "$5.gone" || break
        if ! used "$5.gone"; then break; fi
        mv "$5.gone" "$5"
    fi
    sleep 0.5
done
"#;

/// How to end a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are closed and everything is written.
    Fast,
    /// Like a power cut: the next start recovers.
    Immediate,
}

impl Stop {
    fn signal(self) -> Signal {
        match self {
            Self::Fast => Signal::INT,
            Self::Immediate => Signal::QUIT,
        }
    }

    /// The signal as `kill -s` names it.
    fn name(self) -> &'static str {
        match self {
            Self::Fast => "INT",
            Self::Immediate => "QUIT",
        }
    }

    fn within(self) -> Duration {
        match self {
            Self::Fast => FAST_WITHIN,
            Self::Immediate => IMMEDIATE_WITHIN,
        }
    }
}

/// When a server ends without being told to.
#[derive(Debug, Clone, Copy)]
pub enum Guard<'a> {
    /// With the process that started it.
    Owner(Stop),
    /// Like that, and the folder goes as well.
    OwnerOf(&'a Path),
    /// When nobody has touched this file for a minute; the folder goes as well.
    Idle(&'a Path, &'a Path),
}

/// A server that was told to start. It stops when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    guard: Option<Child>,
}

/// What a postmaster that never became ready left in its log.
#[derive(Debug)]
pub struct Refused {
    /// The end of the log.
    pub log: String,
}

impl Process {
    /// Starts the server and waits until it takes connections.
    pub fn start(
        programs: &Programs,
        account: &Account,
        directory: &Path,
        log: &Path,
        guard: Guard,
    ) -> Result<std::result::Result<Self, Refused>> {
        let mut file = File::options();
        let mut file =
            file.create(true).append(true).open(log).map_err(Error::file("open", log))?;
        let start = file.seek(SeekFrom::End(0)).map_err(Error::file("read", log))?;
        let errors = file.try_clone().map_err(Error::file("open", log))?;
        let postgres = programs.path("postgres");
        let mut command = account.command(&postgres);
        command.arg("-D").arg(directory).stdout(file).stderr(errors).process_group(0);
        let child = command.spawn().map_err(Error::spawn(&postgres))?;
        let mut process = Self { child, guard: None };
        process.guard = Some(process.spawn_guard(directory, guard)?);
        if process.wait_ready(directory) {
            return Ok(Ok(process));
        }
        process.stop(Stop::Immediate);
        Ok(Err(Refused { log: end_of(log, start) }))
    }

    /// Leaves the server to its guard.
    pub fn leave(self) {
        std::mem::forget(self);
    }

    /// The postmaster's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the postmaster still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends the server, harder when it does not listen, and waits until it is gone.
    pub fn stop(&mut self, stop: Stop) {
        for (signal, within) in [
            (stop.signal(), stop.within()),
            (Signal::QUIT, IMMEDIATE_WITHIN),
            (Signal::KILL, IMMEDIATE_WITHIN),
        ] {
            if !self.is_running() {
                break;
            }
            let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
            // A failure means that it is gone already, which the wait then sees.
            pid.map(|pid| rustix::process::kill_process(pid, signal));
            self.wait(within);
        }
        self.dismiss();
    }

    /// Ends the shell, which has nothing left to end.
    fn dismiss(&mut self) {
        let Some(mut guard) = self.guard.take() else { return };
        // It may have ended by itself.
        guard.kill().ok();
        guard.wait().ok();
    }

    fn spawn_guard(&self, directory: &Path, guard: Guard) -> Result<Child> {
        let nothing = Path::new("");
        let (script, stop, folder, beat) = match guard {
            Guard::Owner(stop) => (AWAIT_OWNER, stop, nothing, nothing),
            Guard::OwnerOf(folder) => (AWAIT_OWNER, Stop::Immediate, folder, nothing),
            Guard::Idle(beat, folder) => (AWAIT_IDLE, Stop::Immediate, folder, beat),
        };
        let shell = Path::new("/bin/sh");
        let mut command = Command::new(shell);
        command.args(["-c", &[script, END].concat(), "skein-guard", &self.pid().to_string()]);
        command.arg(directory).arg(stop.name()).arg(folder).arg(beat);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.current_dir("/").process_group(0).spawn().map_err(Error::spawn(shell))
    }

    fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + within;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < until => thread::sleep(LOOK),
                status => return status.ok().flatten(),
            }
        }
    }

    /// The postmaster writes `ready` into the last line of its lock file.
    fn wait_ready(&mut self, directory: &Path) -> bool {
        let until = Instant::now() + READY_WITHIN;
        let path = directory.join("postmaster.pid");
        while self.is_running() && Instant::now() < until {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let mut lines = text.lines();
            // A file that an earlier postmaster left has another first line.
            if lines.next().is_some_and(|pid| pid.trim() == self.pid().to_string())
                && lines.nth(6).is_some_and(|status| status.trim() == "ready")
            {
                return true;
            }
            thread::sleep(LOOK);
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop(Stop::Immediate);
    }
}

/// Ends the server that a killed owner left in this directory; the caller holds the lock.
///
/// A lock file that names no postmaster of this directory is removed: its number may be somebody
/// else's by now, and PostgreSQL would then refuse to start.
pub fn clear(directory: &Path) -> Result<()> {
    let path = directory.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
    let runs = |pid: Pid| serves(pid, directory);
    if let Some(pid) = pid.filter(|pid| runs(*pid)) {
        for (signal, within) in [
            (Signal::INT, FAST_WITHIN),
            (Signal::QUIT, IMMEDIATE_WITHIN),
            (Signal::KILL, IMMEDIATE_WITHIN),
        ] {
            // It may end by itself at any moment.
            rustix::process::kill_process(pid, signal).ok();
            let until = Instant::now() + within;
            while runs(pid) && Instant::now() < until {
                thread::sleep(LOOK);
            }
        }
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::file("remove", &path)),
    }
}

/// Whether this process is the postmaster of this directory.
fn serves(pid: Pid, directory: &Path) -> bool {
    let pid = pid.as_raw_nonzero().to_string();
    let processes = Path::new("/proc");
    let words = if processes.join("self").exists() {
        fs::read(processes.join(&pid).join("cmdline"))
    } else {
        Command::new("ps").args(["-o", "command=", "-p", &pid]).output().map(|ps| ps.stdout)
    };
    let words = words.unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    words.contains("postgres") && words.contains(&*directory.to_string_lossy())
}

fn end_of(log: &Path, start: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(LOG_BYTES_SHOWN))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}
