//! Where it is shown, of each message of what a mesh shares, that it does what it says across two
//! edges, and each refusal that it can give.
//!
//! Strangers and foreign meshes need no row: `access` asks every message of the wire's table as both.
//! Nor do wrong fields, to which `conformance` has every message answer, nor golden frames, which the
//! wire's own tests demand. [`table::TABLE`] is checked against that table of messages, against the codes in
//! the handlers' sources, and against the tests that it names: whoever adds a message or a refusal
//! and no test of it fails here.

mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use skein_wire::{Code, Message};

use self::table::TABLE;

/// A message, tests that show it across edges, and its refusals with the test of each.
pub type Row = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

/// Capabilities from before this table.
const BEFORE: [&str; 5] = ["messaging", "presence", "profile", "groups", "stats"];

/// What has no effect anywhere but on the edge that is asked.
const LOCAL: [&str; 1] = ["watch_test"];

/// What else decides what a capability refuses.
const ALSO: [(&str, &str); 2] = [("peer_files", "src/relay"), ("peer_files", "src/relay.rs")];

/// Below this crate.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// All Rust files at a path: those of a folder, or itself; none where there is nothing.
fn sources(path: &Path) -> Vec<String> {
    if path.is_dir() {
        let inner = fs::read_dir(path).unwrap();
        return inner.flat_map(|entry| sources(&entry.unwrap().path())).collect();
    }
    fs::read_to_string(path).into_iter().collect()
}

/// The messages of the table by capability, as the wire declares them.
fn capabilities() -> BTreeMap<String, Vec<&'static str>> {
    let wire = at("../openapi/wire/src");
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for entry in fs::read_dir(&wire).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = sources(&path).concat();
        let Some((_, table)) = text.split_once("\ncalls! {") else { continue };
        let table = table.split("\n}}").next().unwrap();
        let is_here = |kind: &&str| table.contains(&format!("    \"{kind}\" "));
        found.insert(name, Message::types().filter(is_here).collect());
    }
    found.retain(|name, kinds| !BEFORE.contains(&name.as_str()) && !kinds.is_empty());
    found
}

/// The words of the codes that a source names, and of those that it gives through helpers.
fn codes(source: &str) -> BTreeSet<&'static str> {
    let word = |code: &Code| {
        source.split("Code::").skip(1).any(|rest| {
            rest.split(|c: char| !c.is_alphanumeric()).next() == Some(&format!("{code:?}"))
        })
    };
    let mut found: BTreeSet<&str> =
        Code::ALL.iter().filter(|code| word(code)).map(|code| code.as_str()).collect();
    for (helper, code) in [("within(", "too_large"), ("tags(", "too_large"), (".follow(", "limit")]
    {
        if source.contains(helper) {
            found.insert(code);
        }
    }
    found
}

/// A test: its body, and the file that it is in.
struct Shown {
    body: String,
    file: String,
}

fn tests(folder: &Path, found: &mut BTreeMap<String, Shown>) {
    for file in sources(folder) {
        for test in file.split("test]\n").skip(1).chain(file.split("test(flavor").skip(1)) {
            let Some((_, rest)) = test.split_once("fn ") else { continue };
            let (Some((name, _)), body) = (rest.split_once('('), rest.split("\n}\n").next()) else {
                continue;
            };
            let body = body.unwrap_or_default().to_owned();
            found.insert(name.to_owned(), Shown { body, file: file.clone() });
        }
    }
}

#[test]
fn every_message_of_what_is_shared_is_in_the_table_once() {
    let wanted: BTreeSet<&str> = capabilities().into_values().flatten().collect();
    let listed: Vec<&str> = TABLE.iter().map(|row| row.0).collect();

    let unique: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(unique.len(), listed.len(), "a message has two rows");
    let missing: Vec<_> = wanted.difference(&unique).collect();
    assert!(missing.is_empty(), "say in `TABLE` which tests show {missing:?}");
    assert_eq!(unique, wanted, "a row of what is no message");
}

#[test]
fn the_tests_of_the_table_are_there_and_about_that() {
    let mut known = BTreeMap::new();
    tests(&at("tests/it"), &mut known);
    let known = |name: &str| known.get(name).unwrap_or_else(|| panic!("there is no test {name}"));
    let has_two_edges = |shown: &&Shown| {
        ["start(2)", "start(3)", "start_with(2", "start_with(3"]
            .iter()
            .any(|it| shown.body.contains(it))
    };

    for (kind, shown, refusals) in TABLE {
        let word = format!("\"{kind}\"");
        let shown: Vec<&Shown> = shown.iter().map(|name| known(name)).collect();
        let is_local = LOCAL.contains(kind) && !shown.is_empty();
        assert!(is_local || shown.iter().any(has_two_edges), "{kind} is shown on one edge only");
        assert!(shown.iter().any(|shown| shown.file.contains(&word)), "{kind} is not said there");
        for (code, name) in *refusals {
            let body = &known(name).body;
            assert!(body.contains(&format!("\"{code}\"")), "{name} says nothing of {code}");
        }
    }
}

#[test]
fn every_refusal_of_the_handlers_is_in_the_table() {
    let rows: BTreeMap<&str, _> = TABLE.iter().map(|row| (row.0, row.2)).collect();
    for (name, kinds) in capabilities() {
        let mut given: BTreeSet<&str> = BTreeSet::new();
        for path in [format!("src/handlers/{name}.rs"), format!("src/handlers/{name}")] {
            sources(&at(&path)).iter().for_each(|source| given.extend(codes(source)));
        }
        for (_, path) in ALSO.iter().filter(|(of, _)| *of == name) {
            let given_here = sources(&at(path)).concat();
            // The relay's own limit is for those who follow; they are found by that.
            given.extend(codes(&given_here).into_iter().filter(|code| *code != "limit"));
        }
        let refusals = kinds.iter().filter_map(|kind| rows.get(kind)).copied().flatten();
        let shown: BTreeSet<&str> = refusals.map(|(code, _)| *code).collect();

        // What cannot happen cannot be shown.
        given.remove(Code::Internal.as_str());
        let unshown: Vec<_> = given.difference(&shown).collect();
        assert!(unshown.is_empty(), "{name} refuses with {unshown:?}, and no test shows it");
    }
}

#[test]
fn every_code_there_is_is_in_some_test() {
    let tests = [at("tests/it"), at("../cli/tests/it")].map(|folder| sources(&folder).concat());
    let tests = tests.concat();
    let in_a_test = |code: &&Code| !tests.contains(&format!("\"{}\"", code.as_str()));

    let untold: Vec<_> = Code::ALL.iter().filter(in_a_test).map(|code| code.as_str()).collect();

    assert!(untold.is_empty(), "no test meets {untold:?}");
}
