//! Changes of shared values that a consumer is too far behind to be told one by one.
//!
//! Events are best effort, but whoever follows a value must end up with the one that it has. So of
//! each key the last change is held until the consumer catches up; those in between are left out.

use std::collections::HashMap;

use serde::Deserialize;
use tracing::warn;

/// The frame that tells of a change.
pub const STATE_CHANGE: &str = "state_change";
/// Bytes of changes that are held: more than a mesh shares, unless its values are whole files.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// The last change of each key.
#[derive(Debug, Default)]
pub struct Behind {
    changes: HashMap<String, String>,
    n_bytes: usize,
}

/// What is read of a change.
#[derive(Deserialize)]
struct Change {
    key: String,
}

impl Behind {
    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Holds a change, in place of an earlier one of its key.
    pub fn hold(&mut self, frame: &str) {
        let Ok(Change { key }) = serde_json::from_str(frame) else { return };
        if let Some(earlier) = self.changes.remove(&key) {
            self.n_bytes -= earlier.len();
        }
        if self.n_bytes + frame.len() > BYTES_MAX {
            warn!("changes of shared values are lost: nobody takes them, and they are too many");
            return;
        }
        self.n_bytes += frame.len();
        self.changes.insert(key, frame.to_owned());
    }

    /// One change that is held.
    pub fn next(&mut self) -> Option<String> {
        let key = self.changes.keys().next()?.clone();
        let frame = self.changes.remove(&key)?;
        self.n_bytes -= frame.len();
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_key_the_last_change_is_held() {
        let mut behind = Behind::default();
        for frame in [r#"{"key":"a","value":1}"#, r#"{"key":"b"}"#, r#"{"key":"a","value":2}"#] {
            behind.hold(frame);
        }
        behind.hold("not json");

        let mut held: Vec<_> = std::iter::from_fn(|| behind.next()).collect();
        held.sort();

        assert_eq!(held, [r#"{"key":"a","value":2}"#, r#"{"key":"b"}"#]);
        assert!(behind.is_empty() && behind.n_bytes == 0);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut behind = Behind::default();
        let big = "x".repeat(BYTES_MAX / 4);
        for key in 0..10 {
            behind.hold(&format!(r#"{{"key":"{key}","value":"{big}"}}"#));
        }

        assert!(behind.n_bytes <= BYTES_MAX && behind.changes.len() == 3);
    }
}
