//! What a local mesh says of itself while it works, on standard error.
//!
//! At a terminal the present step stands in one line that changes; elsewhere each step is a line.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::ProgressBar;

/// How often the line at a terminal is drawn anew.
const DRAW: Duration = Duration::from_millis(100);

/// Tells people what happens. Clones share the line.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: Arc<Mutex<Option<ProgressBar>>>,
    is_terminal: bool,
}

impl Progress {
    /// Speaks on standard error.
    pub fn new() -> Self {
        Self { bar: Arc::default(), is_terminal: std::io::stderr().is_terminal() }
    }

    /// What happens now, until the next step or the end.
    pub fn step(&self, words: &str) {
        if !self.is_terminal {
            return line(words);
        }
        let mut bar = self.bar.lock().expect("nothing panics while it draws");
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(DRAW);
            bar
        });
        bar.set_message(words.to_owned());
    }

    /// What happened, and stays.
    pub fn note(&self, words: &str) {
        let bar = self.bar.lock().expect("nothing panics while it draws");
        match &*bar {
            Some(bar) => bar.println(format!("skein: {words}")),
            None => line(words),
        }
    }

    /// The last step is over.
    pub fn done(&self) {
        let bar = self.bar.lock().expect("nothing panics while it draws").take();
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

fn line(words: &str) {
    // There is nowhere left to say that standard error is gone.
    let _ = writeln!(std::io::stderr(), "skein: {words}");
}
