//! A deployment to be measured: `skein up` in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// What `skein up` says when it is ready; see there.
pub struct Deployment {
    folder: TempDir,
    child: Child,
    ready: Value,
}

/// A worker, which is asked to end with this.
pub struct Worker(Child);

/// A process as `/proc` has it.
struct Process {
    parent: u32,
    program: String,
    listen: Option<String>,
}

/// The program `skein`, built beside this one.
pub fn skein() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = own.with_file_name("skein");
    path.is_file().then_some(path).ok_or_else(|| {
        "build it first: cargo build --release -p skein -p skein-edge -p skein-worker".into()
    })
}

impl Deployment {
    /// Starts one, and returns when it serves.
    pub fn start() -> Result<Self, String> {
        Self::start_with(&[])
    }

    /// Starts one whose programs are told this too.
    pub fn start_with(environment: &[(&str, String)]) -> Result<Self, String> {
        let words = |error: std::io::Error| error.to_string();
        let mut builder = tempfile::Builder::new();
        // PostgreSQL's user passes through, when we are root.
        let folder = builder.permissions(fs::Permissions::from_mode(0o711)).tempdir();
        let folder = folder.map_err(words)?;
        let mut up = home(&folder.path().join("home"))?;
        up.args(["up", "--json", "--edges", "2", "--port", "0", "--data"]);
        up.arg(folder.path().join("data")).stdout(Stdio::piped());
        up.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = up.spawn().map_err(words)?;
        let mut line = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).map_err(words)?;
        let ready = serde_json::from_str(&line);
        let ready = ready.map_err(|_| format!("skein up said {line:?}"));
        let mut deployment = Self { folder, child, ready: Value::Null };
        deployment.ready = ready?;
        Ok(deployment)
    }

    /// The folder, for more homes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Something that `skein up` said.
    pub fn said(&self, name: &str) -> String {
        self.ready[name].as_str().unwrap_or_default().to_owned()
    }

    /// Starts a second worker, beside the one that it has.
    pub fn second_worker(&self) -> Result<Worker, String> {
        let program = skein()?.with_file_name("skein-worker");
        let mut command = Command::new(program);
        command.env_clear().env("DATABASE_URL", self.said("databaseUrl"));
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map(Worker).map_err(|error| format!("a second worker: {error}"))
    }

    /// Runs `skein bench` against it with these arguments, at the first so many edges, and returns
    /// its report.
    pub fn bench(&self, edges: usize, arguments: &[&str]) -> Result<Value, String> {
        let mut command = home(&self.folder.path().join("home"))?;
        command.arg("bench").args(arguments).arg("--json");
        command.env("SKEIN_OPERATOR_TOKEN", self.said("operatorToken"));
        let all = self.ready["edges"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for edge in all.take(edges) {
            command.args(["--edge", edge]);
        }
        for (name, pid) in self.processes() {
            command.args(["--process", &format!("{name}={pid}")]);
        }
        let output = command.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            // A run that does not count has reported what it saw all the same.
            let said = [&output.stderr, &output.stdout].map(|out| String::from_utf8_lossy(out));
            return Err(said.join(" ").trim().to_owned());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }

    /// What runs, by name.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let all = processes();
        let is_ours = |pid: u32| {
            let up = |pid: &u32| all.get(pid).map(|process| process.parent);
            std::iter::successors(Some(pid), up).any(|pid| pid == self.child.id())
        };
        let sockets: Vec<_> = self.ready["http"].as_array().into_iter().flatten().collect();
        let name = |process: &Process| match process.program.as_str() {
            "skein-edge" => {
                let listen = process.listen.as_deref()?;
                let is_it = |url: &&Value| url.as_str().is_some_and(|url| url.ends_with(listen));
                let index = sockets.iter().position(is_it)?;
                Some(format!("edge-{}", index + 1))
            }
            "skein-worker" => Some("worker".to_owned()),
            // Its children are of the same program.
            "postgres" if all.get(&process.parent)?.program != "postgres" => {
                Some("postgresql".to_owned())
            }
            _ => None,
        };
        let ours = all.iter().filter(|(pid, _)| is_ours(**pid));
        let mut named: Vec<_> = ours.filter_map(|(pid, one)| Some((name(one)?, *pid))).collect();
        named.sort();
        named
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // One that has ended already needs no signal.
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.0.id().cast_signed()) {
            // One that has ended already needs no signal.
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// `skein` in this home, undisturbed by the environment.
pub fn home(home: &Path) -> Result<Command, String> {
    let mut command = Command::new(skein()?);
    command.env("SKEIN_HOME", home).env("USER", "bench");
    for name in ["DATABASE_URL", "SKEIN_LISTEN", "SKEIN_OPERATOR_TOKEN", "SKEIN_PUBLIC_URL"] {
        command.env_remove(name);
    }
    Ok(command)
}

fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let read = |folder: PathBuf| {
        let pid = folder.file_name()?.to_str()?.parse().ok()?;
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        // The name is in brackets, and may hold anything.
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        let program = fs::read_link(folder.join("exe")).ok()?;
        let program = program.file_name()?.to_string_lossy().into_owned();
        let environment = fs::read(folder.join("environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        let listen = variables.find_map(|variable| variable.strip_prefix(b"SKEIN_LISTEN="));
        let listen = listen.map(|listen| String::from_utf8_lossy(listen).into_owned());
        Some((pid, Process { parent, program, listen }))
    };
    entries.filter_map(|entry| read(entry.path())).collect()
}
