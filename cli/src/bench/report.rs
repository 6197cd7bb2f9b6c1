//! What a run comes to, for programs and for people.

use std::collections::BTreeMap;
use std::io::{self, Write};

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::Value;

use super::deployment::{Database, Edge};
use super::machine::Machine;
use super::process::Cost;

/// A run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Which kind of run.
    pub what: String,
    /// What was asked for.
    pub settings: Value,
    /// When it ended: ISO 8601.
    pub at: String,
    /// What was measured, if known.
    pub commit: Option<String>,
    /// `release`, or `debug`, whose figures mean nothing.
    pub build: &'static str,
    /// Where.
    pub machine: Machine,
    /// How busy the machine was.
    pub load: Load,
    /// The database of the edges.
    pub database: Database,
    /// The edges.
    pub edges: Vec<Edge>,
    /// What came out.
    pub result: Figures,
    /// What it cost.
    pub processes: Vec<Cost>,
}

/// The averages of one, five and fifteen minutes.
#[derive(Debug, Clone, Serialize)]
pub struct Load {
    /// When the run began.
    pub before: String,
    /// When it ended.
    pub after: String,
}

/// What came out of a run.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// What was counted: messages, deliveries, hellos, sockets, sessions.
    pub unit: &'static str,
    /// How many, in the time that was measured.
    pub count: u64,
    /// That time.
    pub seconds: f64,
    /// Both divided, where that means something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// How long each took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// Whether everything came, once and in order; from the first message to the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
    /// What else was seen.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, f64>,
}

impl Figures {
    /// So many of these in this time.
    pub fn new(unit: &'static str, count: u64, seconds: f64) -> Self {
        Self { unit, count, seconds, ..Self::default() }
    }

    /// The same, as so many a second.
    pub fn rated(self) -> Self {
        let per_second = Some(self.count as f64 / self.seconds.max(1e-9));
        Self { per_second, ..self }
    }
}

/// Quantiles, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Half took no longer.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    #[serde(rename = "p99.9")]
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Latency {
    /// The quantiles of these, in microseconds; none of nothing.
    pub fn of(each_us: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut all = Histogram::<u64>::new(3).expect("three digits are possible");
        for one in each_us {
            all.record(u64::from(one)).expect("the histogram grows");
        }
        let ms = |quantile| all.value_at_quantile(quantile) as f64 / 1e3;
        (!all.is_empty()).then(|| Self {
            p50: ms(0.5),
            p90: ms(0.9),
            p99: ms(0.99),
            p999: ms(0.999),
            max: all.max() as f64 / 1e3,
        })
    }
}

/// Whether everything that was sent came as it must.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checks {
    /// Messages that were sent.
    pub sent: u64,
    /// Those that the edge acknowledged.
    pub acked: u64,
    /// What was to arrive: sends times recipients.
    pub expected: u64,
    /// What did, opened and found to be what was sent; each once.
    pub received: u64,
    /// What did not.
    pub lost: u64,
    /// What came again.
    pub repeated: u64,
    /// What came before one that was sent earlier.
    pub out_of_order: u64,
    /// What could not be opened, or was not what was sent.
    pub damaged: u64,
}

impl Checks {
    /// Whether all is as it must be.
    pub fn is_clean(&self) -> bool {
        let faults = self.lost + self.repeated + self.out_of_order + self.damaged;
        faults == 0 && self.sent == self.acked
    }
}

impl Report {
    /// Prints it for people.
    pub fn words(&self, out: &mut dyn Write) -> io::Result<()> {
        let Figures { unit, count, seconds, per_second, .. } = self.result;
        let settings = self.settings.as_object().into_iter().flatten();
        let settings: Vec<_> = settings.map(|(name, value)| format!("{name} {value}")).collect();
        writeln!(out, "{}: {}", self.what, settings.join(", "))?;
        let rate = per_second.map(|rate| format!(": {rate:.0} a second")).unwrap_or_default();
        writeln!(out, "  {count} {unit} in {seconds:.2} s{rate}")?;
        if let Some(Latency { p50, p90, p99, p999, max }) = self.result.latency_ms {
            writeln!(
                out,
                "  latency ms: p50 {p50:.1}, p90 {p90:.1}, p99 {p99:.1}, p99.9 {p999:.1}, max {max:.1}"
            )?;
        }
        for (name, value) in &self.result.more {
            writeln!(out, "  {name}: {value:.3}")?;
        }
        if let Some(checks) = self.result.checks {
            let Checks { sent, acked, expected, received, .. } = checks;
            let Checks { lost, repeated, out_of_order, damaged, .. } = checks;
            writeln!(out, "  {sent} sent, {acked} acknowledged, {received} of {expected} opened")?;
            writeln!(
                out,
                "  {lost} lost, {repeated} repeated, {out_of_order} out of order, {damaged} damaged"
            )?;
        }
        writeln!(
            out,
            "  {:<14} {:>10} {:>7} {:>9} {:>9}",
            "", "CPU us", "cores", "RSS MiB", "peak"
        )?;
        for cost in &self.processes {
            let each = cost.cpu_us_each.map_or_else(|| "-".into(), |us| format!("{us:.1}"));
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let (rss, peak) = (mib(cost.rss_bytes), mib(cost.peak_rss_bytes));
            let (name, cores) = (&cost.name, cost.cores);
            writeln!(out, "  {name:<14} {each:>10} {cores:>7.2} {rss:>9.1} {peak:>9.1}")?;
        }
        let Machine { cpu, cores, .. } = &self.machine;
        let Database { version, fsync, synchronous_commit } = &self.database;
        writeln!(
            out,
            "  load {} before, {} after; {cores} × {cpu}",
            self.load.before, self.load.after
        )?;
        writeln!(
            out,
            "  PostgreSQL {version}, fsync {fsync}, synchronous_commit {synchronous_commit}; {} \
             build, commit {}",
            self.build,
            self.commit.as_deref().unwrap_or("unknown")
        )
    }
}
