//! `soak`: runs under fire, larger and more of them than tests make, and a summary for the
//! repository.
//!
//! Arguments: `--runs 20` of each variant, `--messages 20000` in each, `--variant NAME` for one
//! alone, `--seed N` for the first run (the next ones count on), `--out FILE`. The summary is
//! written after every run, so that one that was stopped has what it got to.

use std::{path::PathBuf, process::ExitCode};

use serde::Serialize;
use skein::bench::machine;
use skein_tests::fire::{Plan, Report, Variant, run, seed};

/// What a soak came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// When it began: ISO 8601.
    began: String,
    /// Whether it was a release build.
    release: bool,
    /// The machine: processors, and its load when the soak began.
    processors: usize,
    /// See `processors`.
    load: String,
    /// Messages of a run.
    messages: u64,
    /// Every run.
    runs: Vec<Report>,
    /// Runs that broke a promise.
    bad: usize,
    /// Runs that proved nothing.
    void: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::read();
    let mut summary = Summary {
        began: jiff::Timestamp::now().to_string(),
        release: !cfg!(debug_assertions),
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        load: machine::load(),
        messages: options.messages,
        runs: Vec::new(),
        bad: 0,
        void: 0,
    };
    for n in 0..options.runs {
        for variant in &options.variants {
            let seed = options.seed.wrapping_add(n);
            let plan = Plan { variant: *variant, messages: options.messages, seed };
            // A place that cannot be brought up is told, and the next run is made.
            let Ok(report) = tokio::spawn(run(plan)).await else {
                summary.void += 1;
                continue;
            };
            summary.bad += usize::from(!report.findings.is_empty());
            summary.void += usize::from(!report.void.is_empty());
            summary.runs.push(report);
            options.write(&summary);
        }
    }
    println!("{} runs, {} bad, {} void", summary.runs.len(), summary.bad, summary.void);
    if summary.bad + summary.void == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Options {
    runs: u64,
    messages: u64,
    variants: Vec<Variant>,
    seed: u64,
    out: PathBuf,
}

impl Options {
    fn read() -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let value = |name: &str| {
            let at = words.iter().position(|word| word == name)?;
            Some(words.get(at + 1).unwrap_or_else(|| panic!("{name} takes a value")).clone())
        };
        let number = |name: &str| {
            value(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
        };
        let variants = value("--variant").map_or(Variant::ALL.to_vec(), |name| {
            vec![Variant::parse(&name).unwrap_or_else(|| panic!("no variant is called {name}"))]
        });
        let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let out =
            value("--out").map_or_else(|| format!("tests/soak/{today}.json").into(), Into::into);
        Self {
            runs: number("--runs").unwrap_or(20),
            messages: number("--messages").unwrap_or(20_000),
            variants,
            seed: number("--seed").unwrap_or_else(seed),
            out,
        }
    }

    fn write(&self, summary: &Summary) {
        let folder = self.out.parent().expect("a file is in a folder");
        std::fs::create_dir_all(folder).expect("the folder of the summary can be made");
        let text = serde_json::to_string_pretty(summary).expect("a summary has string keys only");
        std::fs::write(&self.out, text + "\n").expect("the summary can be written");
    }
}
