//! One program as a child, and the shell that ends it when we are gone.
//!
//! A killed process runs no code of ours, so somebody else must end its children. A small shell
//! beside each child does: it waits for the end of its standard input, which only we hold open.
//! (The kernel could signal a child whose parent dies, but asking it to is unsafe code.) The child
//! begins as a shell, too, that waits for our word before it becomes the program: so there is no
//! moment at which the program runs and nobody would end it.
//!
//! Both are in process groups of their own: Ctrl-C at a terminal reaches us alone.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child as Process, Command};
use tokio::time::timeout;

use crate::home::SecretText;
use crate::{Error, Result};

/// Becomes the program `$0` at our word, and ends if we do before that.
const BECOME: &str = r#"read -r _ || exit 0; exec "$0" </dev/null"#;

/// Ends the process `$1` when our end of the pipe is closed.
const GUARD: &str = r#"
trap '' HUP INT TERM
read -r _
for signal in TERM KILL; do
    kill -s "$signal" "$1"
    looks=0
    while kill -0 "$1" && [ $looks -lt 30 ]; do sleep 0.1; looks=$((looks + 1)); done
done
"#;

/// A program, and how to run it.
#[derive(Debug, Clone)]
pub struct Program {
    /// What people call it: `edge 1`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it is told beside our own environment.
    pub environment: Vec<(&'static str, SecretText)>,
    /// Where what it says goes.
    pub log: PathBuf,
    /// How long it may take to end when it is asked to.
    pub patience: Duration,
}

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Child {
    process: Process,
    guard: Process,
}

impl Program {
    /// Starts the program.
    pub async fn start(&self) -> Result<Child> {
        let mut log = OpenOptions::new();
        let log = log.append(true).create(true).mode(0o600).open(&self.log);
        let log = log.map_err(Error::at(&self.log))?;
        let errors = log.try_clone().map_err(Error::at(&self.log))?;
        let mut command = shell(BECOME);
        command.arg(&self.path).stdout(log).stderr(errors);
        command.envs(self.environment.iter().map(|(name, value)| (name, value.as_str())));
        let mut process = command.kill_on_drop(true).spawn()?;
        let pid = process.id().expect("nobody has waited for it yet");
        let mut command = shell(GUARD);
        command.arg("skein-guard").arg(pid.to_string());
        let guard = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut word = process.stdin.take().expect("its standard input is a pipe");
        word.write_all(b"go\n").await?;
        Ok(Child { process, guard })
    }
}

impl Child {
    /// Waits for its end; its guard, which has nothing left to end, ends as well.
    pub async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.process.wait().await?;
        // It may have ended by itself.
        let _ = self.guard.kill().await;
        Ok(status)
    }

    /// Asks it to end, ends it when it takes too long, and waits until it is gone.
    pub async fn end(&mut self, patience: Duration) -> std::io::Result<()> {
        let pid = self.process.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        // A failure means that it is gone already, which the wait then sees.
        pid.map(|pid| kill_process(pid, Signal::TERM));
        if timeout(patience, self.process.wait()).await.is_err() {
            self.process.start_kill()?;
        }
        self.ended().await.map(drop)
    }
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).stdin(Stdio::piped()).process_group(0);
    command
}
