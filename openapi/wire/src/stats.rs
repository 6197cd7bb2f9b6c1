//! Stats: counters that a session reports about itself.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::call::calls;

calls! { Stats {
    /// Replaces the session's counters.
    "set_stats" SetStats => (),
}}

/// Replaces the session's counters, unknown ones included.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "set_stats")]
pub struct SetStats {
    /// `messagesIn`, `messagesOut`, `toolCalls`, `uptime` (s), `errors`, and what else is sent.
    pub stats: Map<String, Value>,
}

/// The counters that outlive a session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// Messages received.
    #[serde(serialize_with = "plain")]
    pub messages_in: f64,
    /// Messages sent.
    #[serde(serialize_with = "plain")]
    pub messages_out: f64,
    /// Tools called.
    #[serde(serialize_with = "plain")]
    pub tool_calls: f64,
    /// Errors met.
    #[serde(serialize_with = "plain")]
    pub errors: f64,
}

/// Writes whole numbers without a fraction, as the reference does: `1`, not `1.0`.
pub(crate) fn plain<S: Serializer>(counter: &f64, to: S) -> Result<S::Ok, S::Error> {
    /// Below it, an `f64` holds every whole number exactly.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if counter.fract() == 0.0 && counter.abs() < WHOLE_MAX {
        to.serialize_i64(*counter as i64)
    } else {
        to.serialize_f64(*counter)
    }
}
