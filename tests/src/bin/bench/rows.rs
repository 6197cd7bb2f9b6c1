//! The rows of the table: what is run, and what it is to reach.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::deployment::{Deployment, home, skein};
use super::{due, fill, idle_worker, recall, watched};

/// Settled messages that the tables hold in `settled`.
const SETTLED: i32 = 1_000_000;
/// Memories that are looked through in `recall`.
const MEMORIES: usize = 100_000;
/// Schedules that are due in the same second in `due`.
const DUE: i32 = 10_000;
/// Starts of a command that is timed.
const STARTS: usize = 20;

/// A row.
pub struct Row {
    /// What `./dev bench NAME` calls it.
    pub name: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// What it is to reach.
    pub targets: &'static [Target],
    /// Measures it once.
    pub run: fn() -> Result<Run, String>,
}

/// A figure and its bound.
pub struct Target {
    /// Its name in [`Run::figures`].
    pub figure: &'static str,
    /// What it must reach.
    pub bound: Bound,
}

/// Which way is better.
pub enum Bound {
    /// More is.
    AtLeast(f64),
    /// Less is.
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

const fn target(figure: &'static str, bound: Bound) -> Target {
    Target { figure, bound }
}

impl Target {
    /// The bound, to be read.
    pub fn words(&self) -> String {
        match self.bound {
            AtLeast(least) => format!(">= {least}"),
            AtMost(most) => format!("<= {most}"),
        }
    }

    /// Whether a figure is within it.
    pub fn is_met(&self, figure: f64) -> bool {
        match self.bound {
            AtLeast(least) => figure >= least,
            AtMost(most) => figure <= most,
        }
    }
}

/// What one run came to.
#[derive(Debug, Default)]
pub struct Run {
    /// What the targets are about, and what explains it.
    pub figures: BTreeMap<&'static str, f64>,
    /// What `skein bench` reported.
    pub report: Value,
    /// Why there is no figure.
    pub problem: Option<String>,
}

impl Run {
    /// A run with these figures.
    pub fn of(report: Value, figures: &[(&'static str, f64)]) -> Self {
        // A figure that the report does not have is no figure.
        let figures = figures.iter().copied().filter(|(_, figure)| figure.is_finite());
        Self { figures: figures.collect(), report, problem: None }
    }

    /// A run that came to nothing.
    pub fn failed(problem: String) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }

    /// Its figures in a line.
    pub fn words(&self) -> String {
        let each = self.figures.iter().map(|(name, figure)| format!("{name} {figure:.2}"));
        each.collect::<Vec<_>>().join(", ")
    }

    /// For the file.
    pub fn into_json(self) -> Value {
        json!({"figures": self.figures, "problem": self.problem, "report": self.report})
    }
}

/// All rows, in the order of the table.
pub const ROWS: &[Row] = &[
    Row {
        name: "direct",
        what: "direct, 250 B, 50 pairs across two edges, window 16: stored, acked, received",
        targets: &[target("perSecond", AtLeast(10_000.0))],
        run: || direct(&Deployment::start()?),
    },
    Row {
        name: "settled",
        what: "the same with 1,000,000 settled messages in the tables, as a share of without",
        targets: &[target("share", AtLeast(0.9))],
        run: settled,
    },
    Row {
        name: "burst",
        what: "100 peers x 1,000, window 16; an edge's memory at its most",
        targets: &[
            target("onceInOrderPercent", AtLeast(100.0)),
            target("p99Ms", AtMost(250.0)),
            target("edgePeakRssMb", AtMost(200.0)),
        ],
        run: burst,
    },
    Row {
        name: "latency",
        what: "one-way latency at 500/s, 250 B, 50 pairs across two edges",
        targets: &[target("p50Ms", AtMost(5.0)), target("p99Ms", AtMost(25.0))],
        run: latency,
    },
    Row {
        name: "fanout",
        what: "multicast 1 to 100 across two edges, window 4: deliveries",
        targets: &[target("perSecond", AtLeast(60_000.0))],
        run: || {
            let report = Deployment::start()?.bench(2, &["fanout"])?;
            let figures = [rate(&report), quantile(&report, "p50", "p50Ms")];
            Ok(Run::of(report, &figures))
        },
    },
    Row {
        name: "state",
        what: "100/s set by 20 of 100 peers across two edges: from a set to everybody",
        targets: &[target("p95Ms", AtMost(20.0))],
        run: || {
            let report = Deployment::start()?.bench(2, &["state"])?;
            let p95 = ("p95Ms", number(&report["result"]["more"]["p95Ms"]));
            let figures = [p95, rate(&report), quantile(&report, "p50", "p50Ms")];
            Ok(Run::of(report, &figures))
        },
    },
    Row {
        name: "idle",
        what: "10,000 idle sockets on one edge, in meshes of 20",
        targets: &[
            target("edgeKibPerSocket", AtMost(16.0)),
            target("edgeCorePercent", AtMost(2.0)),
        ],
        run: idle,
    },
    Row {
        name: "hello",
        what: "hello, in meshes of 20, over two edges",
        targets: &[target("perSecond", AtLeast(2_000.0))],
        run: || {
            let report = Deployment::start()?.bench(2, &["hello", "--sockets", "5000"])?;
            let figures = [rate(&report), quantile(&report, "p99", "p99Ms")];
            Ok(Run::of(report, &figures))
        },
    },
    Row {
        name: "reconnect",
        what: "5,000 sessions, 5 unsettled messages each, after their edge is killed",
        targets: &[target("drainedSeconds", AtMost(10.0))],
        run: reconnect,
    },
    Row {
        name: "recall",
        what: "recall among 100,000 memories of one mesh, by words, beginnings and likeness",
        targets: &[target("p95Ms", AtMost(50.0))],
        run: recalled,
    },
    Row {
        name: "due",
        what: "10,000 schedules of one second, stored by two workers; one set 200 ms ahead, heard",
        targets: &[target("storedMs", AtMost(2000.0)), target("p99Ms", AtMost(50.0))],
        run: scheduled,
    },
    Row {
        name: "watches",
        what: "10,000 watches at 60 s over 1,000 addresses: how late, and what the worker takes",
        targets: &[target("p99Ms", AtMost(2000.0)), target("workerCorePercent", AtMost(25.0))],
        run: watches,
    },
    Row {
        name: "idleWorker",
        what: "queries of a worker that has nothing to do",
        targets: &[target("queriesPerSecond", AtMost(2.0))],
        run: || Ok(Run::of(Value::Null, &[("queriesPerSecond", idle_worker::queries()?)])),
    },
    Row {
        name: "cli",
        what: "skein --version, and skein send on loopback: from start to end, medians of 20",
        targets: &[target("versionMs", AtMost(15.0)), target("sendMs", AtMost(150.0))],
        run: cli,
    },
];

fn direct(deployment: &Deployment) -> Result<Run, String> {
    let report = deployment.bench(2, &["direct"])?;
    let figures = [
        rate(&report),
        quantile(&report, "p50", "p50Ms"),
        quantile(&report, "p99", "p99Ms"),
        ("postgresqlUs", cost(&report, "postgresql", "cpuUsEach")),
        ("edgesUs", cost(&report, "edge-1", "cpuUsEach") + cost(&report, "edge-2", "cpuUsEach")),
        ("generatorUs", cost(&report, "generator", "cpuUsEach")),
    ];
    Ok(Run::of(report, &figures))
}

/// Both figures are of a database that has worked and was analysed: one that is new has no
/// statistics, is planned worse for that, and would make any other look good beside it.
fn settled() -> Result<Run, String> {
    let deployment = Deployment::start()?;
    let url = deployment.said("databaseUrl");
    deployment.bench(2, &["direct", "--seconds", "3"])?;
    fill::settled(&url, 0)?;
    let empty = direct(&deployment)?;
    fill::settled(&url, SETTLED)?;
    let full = direct(&deployment)?;
    let [without, with] = [&empty, &full].map(|run| run.figures["perSecond"]);
    let figures = [("share", with / without), ("perSecond", with), ("perSecondWithout", without)];
    Ok(Run::of(json!({"without": empty.report, "with": full.report}), &figures))
}

fn burst() -> Result<Run, String> {
    let report = Deployment::start()?.bench(2, &["burst"])?;
    // A run in which one came twice or late fails; what is left is how many came at all.
    let checks = &report["result"]["checks"];
    let share = number(&checks["received"]) / number(&checks["expected"]);
    let peak = |edge| cost(&report, edge, "peakRssBytes") / 1e6;
    let figures = [
        rate(&report),
        ("onceInOrderPercent", share * 100.0),
        quantile(&report, "p99", "p99Ms"),
        ("edgePeakRssMb", peak("edge-1").max(peak("edge-2"))),
    ];
    Ok(Run::of(report, &figures))
}

fn latency() -> Result<Run, String> {
    let report = Deployment::start()?.bench(2, &["direct", "--rate", "500", "--seconds", "20"])?;
    let figures =
        [rate(&report), quantile(&report, "p50", "p50Ms"), quantile(&report, "p99", "p99Ms")];
    Ok(Run::of(report, &figures))
}

fn idle() -> Result<Run, String> {
    let report = Deployment::start()?.bench(1, &["idle"])?;
    let each = number(&report["result"]["more"]["rssBytesPerSocket edge-1"]);
    let figures = [
        ("edgeKibPerSocket", each / 1024.0),
        ("edgeCorePercent", cost(&report, "edge-1", "cores") * 100.0),
        ("postgresqlCorePercent", cost(&report, "postgresql", "cores") * 100.0),
    ];
    Ok(Run::of(report, &figures))
}

fn reconnect() -> Result<Run, String> {
    let deployment = Deployment::start()?;
    let processes = deployment.processes();
    let edge = processes.iter().find(|(name, _)| name == "edge-1");
    let pid = edge.ok_or("the first edge does not run")?.1.to_string();
    let report = deployment.bench(2, &["hello", "--reconnect", "--kill", &pid])?;
    let more = &report["result"]["more"];
    let figures = [
        ("attachedSeconds", number(&more["attachedSeconds"])),
        ("drainedSeconds", number(&more["drainedSeconds"])),
        ("retries", number(&more["retries"])),
    ];
    Ok(Run::of(report, &figures))
}

fn recalled() -> Result<Run, String> {
    let deployment = Deployment::start()?;
    let home = deployment.folder().join("home");
    let recalled = recall::measure(&home, &deployment.said("databaseUrl"), MEMORIES)?;
    let at = |share: f64| recalled.each_ms[(recalled.each_ms.len() as f64 * share) as usize];
    let [words, beginnings, likeness] = recalled.by.map(|n| n as f64);
    let figures = [
        ("p50Ms", at(0.5)),
        ("p95Ms", at(0.95)),
        ("p99Ms", at(0.99)),
        ("byWords", words),
        ("byBeginnings", beginnings),
        ("byLikeness", likeness),
    ];
    Ok(Run::of(Value::Null, &figures))
}

/// Each in a deployment of its own: the second is to have nothing else to do.
fn scheduled() -> Result<Run, String> {
    let busy = Deployment::start()?;
    let second = busy.second_worker()?;
    let stored_ms = due::stored(&busy.said("databaseUrl"), DUE)?;
    drop((second, busy));
    let idle = Deployment::start()?;
    let late_ms = due::late(&idle.folder().join("home"), &idle.said("databaseUrl"))?;
    let at = |share| at(&late_ms, share);
    let figures =
        [("storedMs", stored_ms), ("p50Ms", at(0.5)), ("p99Ms", at(0.99)), ("maxMs", at(1.0))];
    Ok(Run::of(Value::Null, &figures))
}

fn watches() -> Result<Run, String> {
    let place = watched::Place::start()?;
    let deployment = Deployment::start_with(&[("SKEIN_FETCH_ALLOW", place.allow())])?;
    let processes = deployment.processes();
    let worker = processes.iter().find(|(name, _)| name == "worker");
    let pid = worker.ok_or("the worker does not run")?.1;
    let watched = place.measure(&deployment.said("databaseUrl"), pid)?;
    let at = |share| at(&watched.late_ms, share);
    let figures = [
        ("p50Ms", at(0.5)),
        ("p99Ms", at(0.99)),
        ("maxMs", at(1.0)),
        ("missed", watched.n_missed as f64),
        ("workerCorePercent", watched.cores * 100.0),
        ("workerRssMb", watched.rss_bytes.0 as f64 / 1e6),
        ("workerPeakRssMb", watched.rss_bytes.1 as f64 / 1e6),
    ];
    if watched.n_missed > 0 {
        return Err(format!("{} watches were not looked at: {figures:?}", watched.n_missed));
    }
    Ok(Run::of(Value::Null, &figures))
}

/// The one of these, least first, that this share of them is not above.
fn at(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).ceil() as usize).copied().unwrap_or(f64::NAN)
}

/// Both commands as a person meets them: a process from its start to its end.
fn cli() -> Result<Run, String> {
    let deployment = Deployment::start()?;
    let owner = deployment.folder().join("home");
    let bob = deployment.folder().join("bob");
    let joined = home(&bob)?.args(["join", "--name", "bob", &deployment.said("invite")]).output();
    if !joined.map_err(|error| error.to_string())?.status.success() {
        return Err("bob cannot join".into());
    }
    let version_ms = start(|| Ok(std::process::Command::new(skein()?)), &["--version"])?;
    let send_ms = start(|| home(&owner), &["send", "bob", "hello"])?;
    Ok(Run::of(Value::Null, &[("versionMs", version_ms), ("sendMs", send_ms)]))
}

fn start(
    command: impl Fn() -> Result<std::process::Command, String>,
    arguments: &[&str],
) -> Result<f64, String> {
    let mut each_ms = Vec::new();
    for _ in 0..STARTS {
        let since = Instant::now();
        let output = command()?.args(arguments).output().map_err(|error| error.to_string())?;
        each_ms.push(since.elapsed().as_secs_f64() * 1e3);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
    }
    each_ms.sort_by(f64::total_cmp);
    Ok(f64::midpoint(each_ms[STARTS / 2 - 1], each_ms[STARTS / 2]))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn rate(report: &Value) -> (&'static str, f64) {
    ("perSecond", number(&report["result"]["perSecond"]))
}

fn quantile(report: &Value, quantile: &str, name: &'static str) -> (&'static str, f64) {
    (name, number(&report["result"]["latencyMs"][quantile]))
}

fn cost(report: &Value, process: &str, field: &str) -> f64 {
    let all = report["processes"].as_array().into_iter().flatten();
    let one = all.into_iter().find(|one| one["name"] == process);
    one.map_or(f64::NAN, |one| number(&one[field]))
}
