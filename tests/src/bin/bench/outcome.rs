//! What all runs came to: medians beside targets, in a file and as a table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rows::{ROWS, Row, Run};

/// A file of results.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outcomes {
    rows: Vec<Outcome>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    name: String,
    what: String,
    /// Medians of all runs.
    medians: BTreeMap<String, f64>,
    targets: Vec<Judged>,
    runs: Vec<Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Judged {
    figure: String,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    median: Option<f64>,
    met: bool,
}

impl Outcomes {
    /// Those of the file, if there is one that can be read.
    pub fn open(path: &Path) -> Self {
        let text = fs::read_to_string(path).ok();
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Takes the runs of a row in, in the place of older ones.
    pub fn put(&mut self, row: &Row, runs: Vec<Run>) {
        let is_whole = runs.iter().all(|run| run.problem.is_none());
        let names = runs.iter().flat_map(|run| run.figures.keys().copied());
        let names: std::collections::BTreeSet<&str> = names.collect();
        let medians: BTreeMap<String, f64> = names
            .into_iter()
            .filter_map(|name| {
                let each = runs.iter().filter_map(|run| run.figures.get(name).copied());
                Some((name.to_owned(), median(each.collect())?))
            })
            .collect();
        let targets = row.targets.iter().map(|target| {
            let median = medians.get(target.figure).copied();
            Judged {
                figure: target.figure.into(),
                target: target.words(),
                median,
                met: is_whole && median.is_some_and(|median| target.is_met(median)),
            }
        });
        let outcome = Outcome {
            name: row.name.into(),
            what: row.what.into(),
            targets: targets.collect(),
            medians,
            runs: runs.into_iter().map(Run::into_json).collect(),
        };
        self.rows.retain(|other| other.name != row.name);
        self.rows.push(outcome);
        let place = |name: &str| ROWS.iter().position(|row| row.name == name);
        self.rows.sort_by_key(|row| place(&row.name));
    }

    /// Writes the file.
    pub fn save(&self, path: &Path) {
        let text = serde_json::to_string_pretty(self).expect("outcomes are JSON");
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        if let Err(error) = folder.and_then(|()| fs::write(path, text + "\n")) {
            eprintln!("bench: {}: {error}", path.display());
        }
    }

    /// Targets beside figures.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |cells: [&str; 5]| {
            let [name, figure, target, median, met] = cells;
            writeln!(text, "{name:<10} {figure:<22} {target:>14} {median:>12}  {met}")
                .expect("a string takes everything");
        };
        line(["", "", "target", "median", ""]);
        for row in &self.rows {
            for (index, judged) in row.targets.iter().enumerate() {
                let name = if index == 0 { row.name.as_str() } else { "" };
                let median = judged.median.map_or_else(|| "-".into(), |it| format!("{it:.2}"));
                let met = if judged.met { "ok" } else { "NOT MET" };
                line([name, &judged.figure, &judged.target, &median, met]);
            }
        }
        text
    }

    /// Whether every target of every row is met.
    pub fn are_met(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.targets).all(|judged| judged.met)
    }
}

fn median(mut each: Vec<f64>) -> Option<f64> {
    each.sort_by(f64::total_cmp);
    let middle = each.len() / 2;
    match each.len() {
        0 => None,
        count if count % 2 == 1 => Some(each[middle]),
        _ => Some(f64::midpoint(each[middle - 1], each[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_judged_by_the_medians_of_its_runs_and_not_when_one_failed() {
        let run = |rate| Run::of(Value::Null, &[("perSecond", rate)]);
        let row = &ROWS[0];
        let judge = |runs| {
            let mut outcomes = Outcomes::default();
            outcomes.put(row, runs);
            (outcomes.are_met(), outcomes.rows[0].medians["perSecond"])
        };

        assert_eq!(judge(vec![run(9_000.0), run(20_000.0), run(11_000.0)]), (true, 11_000.0));
        assert_eq!(judge(vec![run(9_000.0), run(20_000.0), run(9_900.0)]), (false, 9_900.0));
        let failed = Run::failed("lost".into());
        assert_eq!(judge(vec![run(12_000.0), failed, run(11_000.0)]), (false, 11_500.0));
    }
}
