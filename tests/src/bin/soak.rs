//! `soak`: runs under fire, larger and more of them than tests make, and a summary for the
//! repository.
//!
//! Arguments: `--runs 20` of each variant, `--messages 20000` in each, `--seconds 60` of faults in
//! each of duties, `--together 1` at a time, `--variant NAME` for one alone, `--seed N` for the first
//! run (the next ones count on), `--out FILE`. The summary is written after every run, so that one
//! that was stopped has what it got to.

use std::{path::PathBuf, process::ExitCode};

use futures_util::{StreamExt, stream};
use serde::Serialize;
use skein::bench::machine;
use skein_tests::{
    duties,
    fire::{self, seed},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

/// What a soak came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// When it began: ISO 8601.
    began: String,
    /// What was soaked, when that is known.
    commit: Option<String>,
    /// Whether it was a release build.
    release: bool,
    /// The machine: processors, and its load when the soak began.
    processors: usize,
    /// See `processors`.
    load: String,
    /// Runs at a time.
    together: usize,
    /// Messages of a run.
    messages: u64,
    /// Seconds of faults of a run of duties.
    seconds: u64,
    /// Every run.
    runs: Vec<Report>,
    /// Runs that broke a promise.
    bad: usize,
    /// Runs that proved nothing.
    void: usize,
}

/// A variant of either kind.
#[derive(Debug, Clone, Copy)]
enum Variant {
    Fire(fire::Variant),
    Duties(duties::Variant),
}

impl Variant {
    fn all() -> Vec<Self> {
        let fire = fire::Variant::ALL.into_iter().map(Self::Fire);
        fire.chain(duties::Variant::ALL.into_iter().map(Self::Duties)).collect()
    }

    fn parse(name: &str) -> Option<Self> {
        let duties = || duties::Variant::parse(name).map(Self::Duties);
        fire::Variant::parse(name).map(Self::Fire).or_else(duties)
    }
}

/// A run to be made.
#[derive(Debug, Clone, Copy)]
enum Plan {
    Fire(fire::Plan),
    Duties(duties::Plan),
}

/// What a run came to.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Report {
    Fire(fire::Report),
    Duties(duties::Report),
}

impl Report {
    fn is_bad(&self) -> bool {
        match self {
            Self::Fire(report) => !report.findings.is_empty(),
            Self::Duties(report) => !report.findings.is_empty(),
        }
    }

    fn is_void(&self) -> bool {
        match self {
            Self::Fire(report) => !report.void.is_empty(),
            Self::Duties(report) => !report.void.is_empty(),
        }
    }
}

async fn run(plan: Plan) -> Report {
    match plan {
        Plan::Fire(plan) => Report::Fire(fire::run(plan).await),
        Plan::Duties(plan) => Report::Duties(duties::run(plan).await),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("soak: {problem}");
            return ExitCode::from(2);
        }
    };
    let mut terminate = signal(SignalKind::terminate()).expect("a process can hear SIGTERM");
    let mut interrupt = signal(SignalKind::interrupt()).expect("a process can hear SIGINT");
    let mut summary = Summary {
        began: jiff::Timestamp::now().to_string(),
        commit: machine::commit(),
        release: !cfg!(debug_assertions),
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        load: machine::load(),
        together: options.together,
        messages: options.messages,
        seconds: options.seconds,
        runs: Vec::new(),
        bad: 0,
        void: 0,
    };
    // Those that were stopped take their processes with them.
    tokio::select! {
        () = soak(&options, &mut summary) => (),
        _ = terminate.recv() => eprintln!("soak: stopped"),
        _ = interrupt.recv() => eprintln!("soak: stopped"),
    }
    println!("{} runs, {} bad, {} void", summary.runs.len(), summary.bad, summary.void);
    let is_whole = summary.runs.len() == options.plans().count();
    let is_good = is_whole && summary.bad + summary.void == 0;
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn soak(options: &Options, summary: &mut Summary) {
    let runs = options.plans().map(async |plan| {
        let mut task = Ended(tokio::spawn(run(plan)));
        (&mut task.0).await
    });
    let mut runs = stream::iter(runs).buffer_unordered(options.together);
    while let Some(report) = runs.next().await {
        // A place that cannot be brought up is told, and the next run is made.
        let Ok(report) = report else {
            summary.void += 1;
            continue;
        };
        summary.bad += usize::from(report.is_bad());
        summary.void += usize::from(report.is_void());
        summary.runs.push(report);
        options.write(summary);
    }
}

/// A run in a task of its own, which ends with this.
struct Ended(JoinHandle<Report>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Options {
    runs: u64,
    messages: u64,
    seconds: u64,
    together: usize,
    variants: Vec<Variant>,
    seed: u64,
    out: PathBuf,
}

impl Options {
    fn read() -> Result<Self, String> {
        let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let mut options = Self {
            runs: 20,
            messages: 20_000,
            seconds: 60,
            together: 1,
            variants: Variant::all(),
            seed: seed(),
            out: format!("tests/soak/{today}.json").into(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} wants a value"));
            let number = |text: String| text.parse().map_err(|_| format!("{word} wants a number"));
            match word.as_str() {
                "--runs" => options.runs = number(value()?)?,
                "--messages" => options.messages = number(value()?)?,
                "--seconds" => options.seconds = number(value()?)?,
                "--together" => {
                    options.together = usize::try_from(number(value()?)?).unwrap_or(1).max(1);
                }
                "--seed" => options.seed = number(value()?)?,
                "--out" => options.out = value()?.into(),
                "--variant" => {
                    let name = value()?;
                    let variant = Variant::parse(&name);
                    options.variants = vec![variant.ok_or(format!("no variant is called {name}"))?];
                }
                other => return Err(format!("`{other}` is no argument of a soak")),
            }
        }
        Ok(options)
    }

    /// The runs to be made, in their order.
    fn plans(&self) -> impl Iterator<Item = Plan> + '_ {
        (0..self.runs).flat_map(|n| {
            let seed = self.seed.wrapping_add(n);
            let (messages, seconds) = (self.messages, self.seconds);
            self.variants.iter().map(move |&variant| match variant {
                Variant::Fire(variant) => Plan::Fire(fire::Plan { variant, messages, seed }),
                Variant::Duties(variant) => {
                    Plan::Duties(duties::Plan { seconds, ..duties::Plan::full(variant, seed) })
                }
            })
        })
    }

    fn write(&self, summary: &Summary) {
        let folder = self.out.parent().expect("a file is in a folder");
        std::fs::create_dir_all(folder).expect("the folder of the summary can be made");
        let text = serde_json::to_string_pretty(summary).expect("a summary has string keys only");
        std::fs::write(&self.out, text + "\n").expect("the summary can be written");
    }
}
