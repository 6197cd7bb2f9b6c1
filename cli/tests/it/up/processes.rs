//! Processes as `/proc` has them: who is whose child, and who is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// A process as `/proc` has it: its parent, when it began, and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    pub parent: u32,
    pub since: String,
    pub line: String,
}

/// Every process that runs; those that have ended and were not waited for do not.
pub fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let process = |path: PathBuf| {
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        // The name is in brackets, and may hold anything.
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let line = fs::read(path.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let (parent, since) = (fields[1].parse().ok()?, fields[19].to_owned());
        (fields[0] != "Z").then_some((pid, Process { parent, since, line }))
    };
    entries.filter_map(|entry| process(entry.path())).collect()
}

/// Everything below this process.
pub fn family(root: u32) -> BTreeMap<u32, Process> {
    let all = processes();
    let mut found = BTreeSet::from([root]);
    loop {
        let below = all.iter().filter(|(_, process)| found.contains(&process.parent));
        let below: Vec<u32> = below.map(|(pid, _)| *pid).filter(|p| !found.contains(p)).collect();
        if below.is_empty() {
            break;
        }
        found.extend(below);
    }
    found.remove(&root);
    all.into_iter().filter(|(pid, _)| found.contains(pid)).collect()
}

/// The programs of this name below a process.
pub fn called(root: u32, name: &str) -> Vec<u32> {
    let is_it = |process: &Process| process.line.split(' ').next().unwrap().ends_with(name);
    family(root).into_iter().filter(|(_, process)| is_it(process)).map(|(pid, _)| pid).collect()
}

/// Those of `family` that still run.
pub fn left(family: &BTreeMap<u32, Process>) -> Vec<String> {
    let now = processes();
    let still = family
        .iter()
        .filter(|(pid, was)| now.get(*pid).is_some_and(|process| process.since == was.since));
    still.map(|(pid, process)| format!("{pid} {}", process.line)).collect()
}
