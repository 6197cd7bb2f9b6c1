//! What this session reports about itself, every minute: `set_stats`.
//!
//! Totals go on from what the server had saved, and are never added twice: the server keeps the
//! highest.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::json;
use skein_wire::stats::{SetStats, Totals};

/// The counters of one session.
#[derive(Debug)]
pub struct Counters {
    since: Instant,
    before: OnceLock<Totals>,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    tool_calls: AtomicU64,
    errors: AtomicU64,
    pushes: AtomicU64,
}

impl Counters {
    /// From zero, now.
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            before: OnceLock::new(),
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            tool_calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            pushes: AtomicU64::new(0),
        }
    }

    /// Goes on from what was saved; the first answer counts.
    pub fn go_on_from(&self, saved: Totals) {
        self.before.get_or_init(|| saved);
    }

    /// A message arrived.
    pub fn received(&self) {
        self.messages_in.fetch_add(1, Ordering::Relaxed);
    }

    /// A message was stored.
    pub fn sent(&self) {
        self.messages_out.fetch_add(1, Ordering::Relaxed);
    }

    /// A tool was called.
    pub fn called(&self) {
        self.tool_calls.fetch_add(1, Ordering::Relaxed);
    }

    /// A tool failed.
    pub fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// The host was given a message as a line.
    pub fn pushed(&self) {
        self.pushes.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages that the host was given as lines. It may have shown none of them.
    pub fn pushes(&self) -> u64 {
        self.pushes.load(Ordering::Relaxed)
    }

    /// The report of this moment.
    pub fn report(&self) -> SetStats {
        let before = self.before.get().cloned().unwrap_or_default();
        // What a server saved may be anything, and never overflows here.
        let sum = |saved: f64, here: &AtomicU64| {
            (saved.max(0.0) as u64).saturating_add(here.load(Ordering::Relaxed))
        };
        let report = json!({
            "messagesIn": sum(before.messages_in, &self.messages_in),
            "messagesOut": sum(before.messages_out, &self.messages_out),
            "toolCalls": sum(before.tool_calls, &self.tool_calls),
            "uptime": self.since.elapsed().as_secs(),
            "errors": sum(before.errors, &self.errors),
        });
        let serde_json::Value::Object(stats) = report else { unreachable!("it is an object") };
        SetStats { stats }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_server_saved_totals_do_not_wrap() {
        for (saved, wanted) in [(f64::MAX, u64::MAX), (f64::NAN, 1), (-5.0, 1), (41.0, 42)] {
            let counters = Counters::new();
            counters.go_on_from(Totals { messages_in: saved, ..Totals::default() });

            counters.received();

            assert_eq!(counters.report().stats["messagesIn"], wanted, "{saved}");
        }
    }
}
