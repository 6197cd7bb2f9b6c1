//! `bench`: the table of figures that Skein is to reach, measured with `skein bench` and written
//! down.
//!
//! Every run has a deployment of its own, fresh and in a temporary folder: `skein up` with two
//! edges, a worker and a private PostgreSQL, which share the machine with the load. Each row runs
//! three times; what counts is the median of each figure.
//!
//! Arguments: names of rows (all of them, if there are none), `--runs 3`, `--out FILE`. The file
//! holds every report of every run. When it is there already, only the rows that ran are replaced.

mod deployment;
mod due;
mod fill;
mod idle_worker;
mod outcome;
mod recall;
mod rows;
mod tenants;
mod watched;

use std::path::PathBuf;
use std::process::ExitCode;

use self::outcome::Outcomes;
use self::rows::ROWS;

/// How often each row runs, unless said otherwise.
const RUNS: usize = 3;

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("bench: {problem}");
            return ExitCode::from(2);
        }
    };
    let mut outcomes = Outcomes::open(&options.out);
    for row in ROWS.iter().filter(|row| options.names.iter().any(|name| name == row.name)) {
        let mut runs = Vec::new();
        for number in 1..=options.runs {
            eprintln!("bench: {} ({number} of {})", row.name, options.runs);
            match (row.run)() {
                Ok(run) => {
                    eprintln!("  {}", run.words());
                    runs.push(run);
                }
                // The others may still come to something; the row does not count.
                Err(problem) => {
                    eprintln!("bench: {}: {problem}", row.name);
                    runs.push(rows::Run::failed(problem));
                }
            }
        }
        outcomes.put(row, runs);
        // After every row, so that one that was stopped has what it got to.
        outcomes.save(&options.out);
    }
    print!("{}", outcomes.table());
    println!("written to {}", options.out.display());
    if outcomes.are_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Options {
    names: Vec<String>,
    runs: usize,
    out: PathBuf,
}

impl Options {
    fn read() -> Result<Self, String> {
        let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let out = PathBuf::from(format!("bench/results/{today}.json"));
        let mut options = Self { names: Vec::new(), runs: RUNS, out };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
            match argument.as_str() {
                "--runs" => options.runs = value()?.parse().map_err(|_| "--runs wants a number")?,
                "--out" => options.out = value()?.into(),
                name if ROWS.iter().any(|row| row.name == name) => options.names.push(argument),
                other => {
                    let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
                    return Err(format!("no row `{other}`; there are {}", names.join(", ")));
                }
            }
        }
        if options.names.is_empty() {
            options.names = ROWS.iter().map(|row| row.name.to_owned()).collect();
        }
        Ok(options)
    }
}
