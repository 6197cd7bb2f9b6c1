//! What commands print: one JSON value with `--json`, else words for people.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::json;

use crate::{Error, Result};

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Programs read it.
    pub json: bool,
    color: bool,
}

impl Output {
    /// For programs or for people; colour only for people at a terminal who did not say `NO_COLOR`.
    pub fn new(json: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = !json && io::stdout().is_terminal() && !set("NO_COLOR") && !is_dumb;
        Self { json, color }
    }

    /// Prints `value`, or the words that `words` writes.
    pub fn print<T: Serialize>(
        &self,
        value: &T,
        words: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, value).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            words(&mut out)?;
        }
        Ok(out.flush()?)
    }

    /// Says how many a list leaves out, if it does.
    pub fn more(&self, more: u32, out: &mut dyn Write) -> io::Result<()> {
        match more {
            0 => Ok(()),
            _ => writeln!(out, "{}", self.dim(&format!("and {more} more, which did not fit"))),
        }
    }

    /// Less important.
    pub fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// More important.
    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Says on standard error what went wrong, and what to do next. With `--json` it is one object,
    /// `{"error": {"code", "message", "hint"}}`.
    pub fn fail(&self, error: &Error) {
        let (code, message, hint) = (error.code(), chain(error), error.hint());
        let mut out = io::stderr().lock();
        let written = if self.json {
            let body = json!({"error": {"code": code, "message": message, "hint": hint}});
            writeln!(out, "{body}")
        } else {
            let hint = hint.map(|hint| format!("\n  {}", harmless(&hint))).unwrap_or_default();
            writeln!(out, "skein: {} ({code}){hint}", harmless(&message))
        };
        // There is nowhere left to say that standard error is gone.
        let _ = written;
    }
}

/// The first characters of a key or an id, enough to tell one from another at a glance.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Text of others, without what would steer a terminal.
pub fn harmless(text: &str) -> String {
    let keep = |c: char| c == '\n' || c == '\t' || !c.is_control();
    text.chars().map(|c| if keep(c) { c } else { '\u{fffd}' }).collect()
}

/// An error with its causes, none of them twice.
pub fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\r\nc\t✓"), "a\u{fffd}[2Jb\u{fffd}\nc\t✓");
    }
}
