//! A program of ours as a child process, killed with its handle.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// How long a program may take to end when it is asked to.
const END_PATIENCE: Duration = Duration::from_secs(25);

/// A running program.
#[derive(Debug)]
pub struct Program {
    child: Child,
    name: String,
}

impl Program {
    /// Starts the program `name` with this environment and no other; it logs to `log`.
    ///
    /// # Panics
    /// When the program was not built, or cannot be started.
    pub fn start(name: &str, log: &Path, environment: &[(String, String)]) -> Self {
        let log = File::options().create(true).append(true).open(log);
        let log = log.expect("the folder of the place can be written");
        let child = Command::new(find(name))
            .env_clear()
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be opened twice"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        let child = child.expect("a program that was found can be started");
        Self { child, name: name.to_owned() }
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the program runs")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process has a number"), signal)
            .unwrap_or_else(|error| panic!("{} takes no signal: {error}", self.name));
    }

    /// Ends it as SIGKILL does.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Asks it to end, unless it has, and waits.
    pub async fn end(mut self) -> ExitStatus {
        if self.is_running() {
            self.signal(Signal::TERM);
        }
        self.ended_within(END_PATIENCE).await.expect("a program ends when it is asked to")
    }

    /// Waits until it ends by itself; none when it does not in time.
    pub async fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        timeout(patience, self.child.wait()).await.ok().map(|ended| ended.expect("it is our child"))
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// The program beside the running test: cargo puts both into the same build folder.
fn find(name: &str) -> PathBuf {
    let own = env::current_exe().expect("a process knows its program");
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "`{name}` is not beside {}: build it first, with the same profile: \
             `cargo build -p skein-edge -p skein-worker` (`./dev test` does that)",
            own.display()
        )
    })
}
