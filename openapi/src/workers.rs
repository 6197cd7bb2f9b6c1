//! Workers: who does what without being asked, and how late, for whoever runs the deployment.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

/// A worker that lives, and its duties.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// Its node's number.
    pub node: i32,
    /// The label that it was given; may be empty.
    pub region: String,
    /// `alive` or `draining`.
    pub state: String,
    /// When it started.
    pub started_at: String,
    /// What it last said of each kind of duty; none in the first moments.
    pub duties: Vec<Duty>,
}

/// What a worker holds of a kind of duty, and did.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Duty {
    /// `sweep`, `audit`, `schedule`, `clock` or `watch`.
    pub kind: String,
    /// How many of the kind's 64 buckets are its.
    pub buckets: i32,
    /// How much it has done since it started.
    pub done: i64,
    /// The latest that something was of what it last said it did, in milliseconds.
    pub late_ms_max: i64,
    /// All but one in a hundred of those were no later than this.
    pub late_ms_p99: i64,
    /// When it said so.
    pub at: String,
}

/// The workers of the deployment, by number.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct Workers {
    /// Those that live.
    pub workers: Vec<Worker>,
}
