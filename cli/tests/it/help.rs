//! The help texts, held still.

use clap::CommandFactory;
use skein::commands::Cli;

#[test]
fn every_command_explains_itself() {
    let mut texts = String::new();
    let mut waiting = vec![Cli::command().term_width(100)];
    waiting[0].build();
    while let Some(mut command) = waiting.pop() {
        let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
        texts.push_str(&format!("=== {name}\n{}\n", command.render_long_help()));
        let mut inner: Vec<_> =
            command.get_subcommands().filter(|c| c.get_name() != "help").cloned().collect();
        inner.reverse();
        waiting.extend(inner.into_iter().map(|c| c.term_width(100)));
    }

    insta::assert_snapshot!(texts);
}
