//! What processes cost, read from `/proc`: CPU time of a process and all that descend from it, and
//! memory.

use std::fs;
use std::time::Instant;

use serde::Serialize;

use crate::{Error, Result};

/// Clock ticks a second, as Linux shows them to programs on every architecture it runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process to be watched, with its descendants.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What it is called in the report.
    pub name: String,
    /// Its id.
    pub pid: u32,
}

impl Watched {
    /// Reads `NAME=PID`; the process must be there.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let (name, pid) = text.split_once('=').ok_or("is not like NAME=PID")?;
        let pid = pid.parse().map_err(|_| format!("`{pid}` is no process id"))?;
        Ok(Self { name: name.to_owned(), pid })
    }
}

/// What the watched processes had spent at one moment.
#[derive(Debug)]
pub struct Sample {
    at: Instant,
    each: Vec<(Watched, State)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    cpu_s: f64,
    rss_bytes: u64,
    peak_bytes: u64,
}

/// What one process cost between two moments.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// What it is called.
    pub name: String,
    /// CPU seconds, of its descendants too.
    pub cpu_seconds: f64,
    /// How many cores that kept busy.
    pub cores: f64,
    /// CPU microseconds for each of what was counted.
    pub cpu_us_each: Option<f64>,
    /// Resident memory at the end; what processes of a tree share is counted once.
    pub rss_bytes: u64,
    /// The most that the process itself ever had resident.
    pub peak_rss_bytes: u64,
}

impl Sample {
    /// Looks at these processes now, and at this one.
    pub fn take(watched: &[Watched]) -> Result<Self> {
        let own = Watched { name: "generator".into(), pid: std::process::id() };
        let all = processes();
        let each = watched.iter().chain([&own]).map(|one| {
            let state = all.iter().any(|process| process.pid == one.pid);
            let state = state.then(|| state_of(one.pid, &all));
            let gone = || Error::NotFound(format!("{} ({}) does not run", one.name, one.pid));
            Ok((one.clone(), state.ok_or_else(gone)?))
        });
        Ok(Self { at: Instant::now(), each: each.collect::<Result<_>>()? })
    }

    /// What was spent from here to `end`, on `count` things.
    pub fn until(&self, end: &Self, count: u64) -> Vec<Cost> {
        let wall_s = end.at.duration_since(self.at).as_secs_f64().max(1e-9);
        let pairs = self.each.iter().zip(&end.each);
        let cost = |((watched, before), (_, after)): (&(Watched, State), &(Watched, State))| {
            let cpu_s = (after.cpu_s - before.cpu_s).max(0.0);
            Cost {
                name: watched.name.clone(),
                cpu_seconds: cpu_s,
                cores: cpu_s / wall_s,
                cpu_us_each: (count > 0).then(|| cpu_s * 1e6 / count as f64),
                rss_bytes: after.rss_bytes,
                peak_rss_bytes: after.peak_bytes,
            }
        };
        pairs.map(cost).collect()
    }

    /// The same without the process of this id, if there is one.
    pub fn without(mut self, pid: Option<u32>) -> Self {
        self.each.retain(|(watched, _)| Some(watched.pid) != pid);
        self
    }

    /// The resident memory of each watched process, by name.
    pub fn resident(&self) -> impl Iterator<Item = (&str, u64)> {
        self.each.iter().map(|(watched, state)| (watched.name.as_str(), state.rss_bytes))
    }
}

fn state_of(root: u32, all: &[Process]) -> State {
    let mut state = State::default();
    let (mut shared, mut mapped) = (0, 0);
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        let Some(process) = all.iter().find(|process| process.pid == pid) else { continue };
        state.cpu_s += process.ticks as f64 / TICKS_PER_SECOND;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        state.rss_bytes += bytes(&status, "RssAnon:");
        shared = shared.max(bytes(&status, "RssShmem:"));
        mapped = mapped.max(bytes(&status, "RssFile:"));
        if pid == root {
            state.peak_bytes = bytes(&status, "VmHWM:");
        }
        open.extend(all.iter().filter(|other| other.parent == pid).map(|other| other.pid));
    }
    state.rss_bytes += shared + mapped;
    state
}

/// A size out of `/proc/PID/status`.
fn bytes(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

struct Process {
    pid: u32,
    parent: u32,
    /// Its own, and of children that ended.
    ticks: u64,
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn read(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything; fields are counted after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    // utime, stime, cutime, cstime: fields 14 to 17 of proc(5), counted from one with the name.
    let ticks = (11..15).map(|index| number(index).unwrap_or(0)).sum();
    Some(Process { pid, parent: u32::try_from(number(1)?).ok()?, ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_tree_holds_what_its_children_spent() {
        let before = Sample::take(&[]).unwrap();
        let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let status = std::process::Command::new("sh").args(["-c", burn]).status().unwrap();
        assert!(status.success());

        let cost = before.until(&Sample::take(&[]).unwrap(), 10).remove(0);

        assert_eq!(cost.name, "generator");
        assert!(cost.cpu_seconds > 0.0, "{cost:?}");
        assert!((cost.cpu_us_each.unwrap() - cost.cpu_seconds * 1e5).abs() < 1.0);
        assert!(cost.peak_rss_bytes > 1 << 20 && cost.rss_bytes > 1 << 20, "{cost:?}");
        assert!(Sample::take(&[Watched { name: "x".into(), pid: u32::MAX }]).is_err());
    }
}
