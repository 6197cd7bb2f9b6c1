//! Nothing that is declared is forgotten: the sources are read, because a frame that an edge sends
//! by itself stands in no table.

use std::{collections::BTreeSet, fs, path::Path};

use skein_wire::Message;

use crate::golden;

/// The sources of the modules that the crate declares.
fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let root = fs::read_to_string(src.join("lib.rs")).unwrap();
    let declared = root.lines().filter_map(|line| {
        line.strip_prefix("pub mod ").or(line.strip_prefix("mod "))?.strip_suffix(';')
    });
    let mut sources = Vec::new();
    for module in declared {
        let file = src.join(module).with_extension("rs");
        let inner = fs::read_dir(src.join(module)).into_iter().flatten();
        let inner = inner.map(|entry| entry.unwrap().path());
        for path in [file].into_iter().chain(inner) {
            sources.push((module.to_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
    sources
}

/// Every `type` that a struct is written with.
fn declared() -> BTreeSet<String> {
    let sources = sources();
    let before = "tag = \"type\", rename = \"";
    let tagged = sources.iter().flat_map(|(_, text)| text.split(before).skip(1));
    tagged.map(|rest| rest.split_once('"').unwrap().0.to_owned()).collect()
}

/// The messages of the `calls!` tables: module, type, and the name of what answers it.
fn called() -> Vec<(String, String, String)> {
    let mut calls = Vec::new();
    for (module, text) in sources() {
        let Some((_, table)) = text.split_once("\ncalls! {") else { continue };
        let table = table.split("\n}}").next().unwrap();
        for line in table.lines().map(str::trim) {
            let Some((kind, rest)) = line.strip_prefix('"').and_then(|l| l.split_once('"')) else {
                continue;
            };
            let reply = rest.split_once("=> ").unwrap().1.trim_end_matches(',');
            calls.push((module.clone(), kind.to_owned(), reply.to_owned()));
        }
    }
    calls
}

#[test]
fn every_message_of_every_table_is_decoded() {
    let in_tables: BTreeSet<String> = called().into_iter().map(|(_, kind, _)| kind).collect();
    let decoded: BTreeSet<String> = Message::types().map(str::to_owned).collect();

    assert_eq!(in_tables, decoded, "a capability is declared and not read, or the other way round");
    assert_eq!(Message::types().count(), decoded.len(), "two messages have one type");
}

#[test]
fn every_frame_that_is_declared_is_recorded() {
    let recorded: BTreeSet<String> = golden::all().into_iter().map(|golden| golden.kind).collect();

    let declared = declared();

    assert!(declared.len() > 80, "the sources are not read as they are written: {declared:?}");
    let missing: Vec<&String> = declared.difference(&recorded).collect();
    assert!(missing.is_empty(), "no golden frames of {missing:?}");
    let unknown: Vec<&String> = recorded.difference(&declared).collect();
    assert!(unknown.is_empty(), "golden frames of what nothing declares: {unknown:?}");
}

#[test]
fn every_reply_of_a_table_is_a_frame_that_is_declared() {
    let sources = sources();
    for (module, kind, reply) in called() {
        if reply == "()" {
            continue;
        }
        let name = format!("pub struct {reply} {{");
        let place = sources.iter().find_map(|(_, text)| Some(text.split_once(&name)?.0));
        let attributes = place.unwrap_or_else(|| panic!("{module}: there is no `{reply}`"));
        // What stands right before it.
        let attributes = attributes.rsplit("\n\n").next().unwrap();
        assert!(
            attributes.contains("tag = \"type\""),
            "`{kind}` is answered by `{reply}`, no frame"
        );
    }
}
