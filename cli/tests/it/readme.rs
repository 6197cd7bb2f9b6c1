//! The examples of the README are run as they stand there, and print what they say.
//!
//! A block marked `console` is a terminal: `ann$ …` runs in the home of ann, by a shell; what
//! follows is what that prints, where `…` stands for anything, and a line of it alone for any lines.
//! What ends with `&` runs until the end. Everybody is in one mesh, with two edges.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::place::{Place, json, wait};

/// One command of the README, and what it prints.
struct Example {
    who: String,
    command: String,
    prints: Vec<String>,
}

fn examples(text: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_inside = line == "```console";
        } else if is_inside {
            let prompt = line.split_once("$ ").filter(|(who, _)| !who.contains(' '));
            match (prompt, examples.last_mut()) {
                (Some((who, command)), _) => examples.push(Example {
                    who: who.to_owned(),
                    command: command.to_owned(),
                    prints: Vec::new(),
                }),
                (None, Some(example)) => example.prints.push(line.to_owned()),
                (None, None) => panic!("no command before: {line}"),
            }
        }
    }
    examples
}

/// Whether a line is as the README has it.
fn is_like(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (n, part) in parts.iter().enumerate() {
        let is_last = n + 1 == parts.len();
        let at = if is_last { rest.rfind(part) } else { rest.find(part) };
        let Some(at) = at else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// Whether what was printed is as the README has it.
fn are_like(lines: &[String], patterns: &[String]) -> bool {
    match (lines, patterns) {
        (_, [any, rest @ ..]) if any == "…" => {
            (0..=lines.len()).any(|n| are_like(&lines[n..], rest))
        }
        ([line, lines @ ..], [pattern, patterns @ ..]) => {
            is_like(line, pattern) && are_like(lines, patterns)
        }
        (lines, patterns) => lines.is_empty() && patterns.is_empty(),
    }
}

/// A shell in somebody's home.
fn shell(home: &Path, command: &str) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_skein")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("PATH", path).env("SKEIN_HOME", home).current_dir(home);
    shell
}

/// A command that runs until this value ends: it reads from a pipe that closes then.
struct Behind(Child);

impl Behind {
    fn start(home: &Path, command: &str) -> Self {
        let mut shell = shell(home, &format!("exec {command}"));
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().unwrap())
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

fn run(home: &Path, command: &str) -> (bool, Vec<String>) {
    let output = shell(home, command).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.lines().map(|line| line.trim_end().to_owned()).collect())
}

#[tokio::test]
async fn every_example_prints_what_the_readme_says() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let examples = examples(&fs::read_to_string(readme).unwrap());
    assert!(!examples.is_empty());
    let place = Place::start(2).await;
    let owner = place.owner();
    let mut homes = HashMap::from([("owner".to_owned(), owner.clone())]);
    for example in &examples {
        let who = example.who.as_str();
        homes.entry(who.to_owned()).or_insert_with(|| place.member(&owner, who));
    }

    let mut behind = Vec::new();
    for Example { who, command, prints } in examples {
        let home = &homes[&who];
        if let Some(command) = command.strip_suffix(" &") {
            behind.push(Behind::start(home, command));
            let name = format!("\"{who}\"");
            let is_here = || json(&owner, &["peers"]).to_string().contains(&name).then_some(());
            wait("it is here", is_here).await;
            continue;
        }
        let (is_well, printed) = run(home, &command);
        let (is, be) = (printed.join("\n"), prints.join("\n"));
        assert!(is_well, "{who}$ {command}\n{is}");
        assert!(are_like(&printed, &prints), "{who}$ {command}\n{is}\nis not\n{be}");
    }
}

#[test]
fn dots_stand_for_anything() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(are_like(&lines("a\nb\nc"), &lines("a\n…")) && are_like(&[], &lines("…")));
    assert!(!are_like(&lines("a\nb"), &lines("a")) && !are_like(&lines("a"), &lines("a\nb")));
    assert!(is_like("stored as abc for bob", "stored as … for bob") && is_like("a", "…"));
    assert!(is_like("abcbc", "a…bc") && is_like("", "") && is_like("", "…"));
    assert!(!is_like("stored", "stored …") && !is_like("ab", "a") && !is_like("ab", "b…"));
}
