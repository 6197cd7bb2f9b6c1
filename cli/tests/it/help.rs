//! The help texts, held still in `cli/help.txt`; `UPDATE=1` writes them anew.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use skein::commands::Cli;

#[test]
fn every_command_explains_itself() {
    let mut texts = String::new();
    let mut waiting = vec![Cli::command()];
    waiting[0].build();
    while let Some(mut command) = waiting.pop() {
        command = command.term_width(100);
        let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
        texts.push_str(&format!("=== {name}\n{}\n", command.render_long_help()));
        let inner = command.get_subcommands().filter(|inner| inner.get_name() != "help");
        let mut inner: Vec<_> = inner.cloned().collect();
        inner.reverse();
        waiting.extend(inner);
    }

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("help.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &texts).unwrap();
    }
    let held = fs::read_to_string(&file).unwrap_or_default();
    assert!(held == texts, "help texts differ from help.txt; UPDATE=1 cargo test rewrites it");
}
