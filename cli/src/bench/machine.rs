//! Where a figure was measured: the commit, the machine, and how busy it was.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// The machine.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// The model of its processor.
    pub cpu: String,
    /// How many threads of it we may use.
    pub cores: usize,
    /// All of its memory.
    pub memory_bytes: u64,
    /// The operating system's kernel.
    pub kernel: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let named = |line: &str| line.strip_prefix("model name")?.split(':').nth(1).map(trimmed);
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib =
            |line: &str| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok();
        Self {
            cpu: info.lines().find_map(named).unwrap_or_else(|| std::env::consts::ARCH.into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory.lines().find_map(kib).unwrap_or(0u64) * 1024,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        }
    }
}

/// The averages of one, five and fifteen minutes.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The commit of the programs: `GIT_SHA`, else that of the checkout we are in, with a `+` when
/// files of it were changed.
pub fn commit() -> Option<String> {
    if let Some(given) = std::env::var("GIT_SHA").ok().filter(|given| !given.is_empty()) {
        return Some(given);
    }
    let head = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { head } else { format!("{head}+") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| trimmed(&String::from_utf8_lossy(&output.stdout)))
}

fn trimmed(text: &str) -> String {
    text.trim().to_owned()
}

/// Takes as many open files as the system allows: every socket is one.
pub fn raise_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Refused, the run says by itself at which socket it ended.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
