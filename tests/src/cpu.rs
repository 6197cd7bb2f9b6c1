//! What processes have spent, read from `/proc`.

use std::{fs, time::Duration};

/// Clock ticks a second, as Linux shows them to programs on every architecture it runs on.
const TICKS_PER_SECOND: u64 = 100;

/// The CPU time of a process and all that descend from it, those that ended included.
pub fn spent(root: u32) -> Duration {
    let processes = all();
    let mut ticks = 0;
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        ticks += processes.iter().find(|p| p.pid == pid).map_or(0, |p| p.ticks);
        open.extend(processes.iter().filter(|p| p.parent == pid).map(|p| p.pid));
    }
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// The resident memory of one process, in bytes.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|n| n.parse().ok());
    kib.unwrap_or(0u64) * 1024
}

/// The machine's load: the averages of one, five and fifteen minutes.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

struct Process {
    pid: u32,
    parent: u32,
    ticks: u64,
}

fn all() -> Vec<Process> {
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
