//! URL watches: addresses on the web that a mesh looks at now and then for a member.
//!
//! The first check is the baseline and tells nobody. What a later one finds is compared with it,
//! and whoever made the watch is told when it is what they asked for, with an event that waits for
//! them like a message ([`crate::push::Kept`]). A watch is its member's: it lives on when the
//! session that made it ends, and until it is ended or its member is revoked.
//!
//! Ours beyond the contract: a group may be told too; lists say how the last check went and when
//! the next one is; a check can be tried before a watch is made; five failures in a row are told
//! once, and so is the check that succeeds again. Headers are for the server alone: once given,
//! only their names are ever shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::call::calls;

calls! { Watches {
    /// Makes a watch.
    "watch" Watch => WatchAck,
    /// Ends one.
    "unwatch" Unwatch => WatchAck,
    /// Asks which there are.
    "watch_list" ListWatches => WatchList,
    /// Extension: says what one check sees now, and keeps nothing.
    "watch_test" TestWatch => WatchTested,
}}

/// The event of a value that is what a watch waits for.
pub const TRIGGERED: &str = "watch_triggered";
/// The event of a watch whose checks fail.
pub const FAILING: &str = "watch_failing";
/// The event of a check that succeeds again.
pub const RECOVERED: &str = "watch_recovered";

/// What of an answer is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The first 16 hex characters of the SHA-256 of its body.
    #[default]
    Hash,
    /// What is at a path of its JSON.
    Json,
    /// Its HTTP status.
    Status,
}

impl Mode {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Json => "json",
            Self::Status => "status",
        }
    }

    /// The mode of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Hash, Self::Json, Self::Status].into_iter().find(|mode| mode.as_str() == word)
    }
}

// Not derived: a derived one would also take `{"json": null}`.
impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        Self::parse(&word)
            .ok_or_else(|| D::Error::unknown_variant(&word, &["hash", "json", "status"]))
    }
}

/// Which values a watch tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyOn<'a> {
    /// Every one that differs from the last.
    Change,
    /// This one, when the last was another.
    Match(&'a str),
    /// Any other, when the last was this one.
    NotMatch(&'a str),
}

impl<'a> NotifyOn<'a> {
    /// Reads `change`, `match:<value>` or `not_match:<value>`.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text == "change" {
            return Some(Self::Change);
        }
        let unlike = || text.strip_prefix("not_match:").map(Self::NotMatch);
        text.strip_prefix("match:").map(Self::Match).or_else(unlike)
    }

    /// Whether the step from `old` to `new` is told; whether they differ is known apart, as texts
    /// that were cut may be the same.
    pub fn tells(self, differs: bool, old: &str, new: &str) -> bool {
        match self {
            Self::Change => differs,
            Self::Match(value) => new == value && old != value,
            Self::NotMatch(value) => old == value && new != value,
        }
    }
}

/// Makes a watch.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "watch")]
pub struct Watch {
    /// What is looked at: `http` or `https`.
    pub url: String,
    /// What of it is compared; absent: its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The path into JSON: `a.b`, or JSONPath from `$`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extract: Option<String>,
    /// Seconds from one check to the next; absent: 30. Fewer than 5 count as 5.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub interval: Option<u32>,
    /// See [`NotifyOn`]; absent: every change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_on: Option<String>,
    /// Sent with every check, to the URL's own host only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// What it is called in what it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Extension: a group that is told too, `@group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// Any number is taken, as by the reference, and made whole.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    Ok(Some(f64::deserialize(from)?.round() as u32))
}

/// Ends a watch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "unwatch", rename_all = "camelCase")]
pub struct Unwatch {
    /// The watch.
    pub watch_id: String,
}

/// Asks which watches the member has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "watch_list")]
pub struct ListWatches {}

/// A watch was made, or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "watch_ack", rename_all = "camelCase")]
pub struct WatchAck {
    /// Its id.
    pub watch_id: String,
    /// What it looks at, or did; empty where there was none.
    pub url: String,
    /// What of it is compared; empty where there was none.
    pub mode: String,
    /// Seconds from one check to the next; 0 once it has ended.
    pub interval: u32,
}

/// How a watch is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Its last check succeeded, or it has had none.
    Ok,
    /// Its last check failed.
    Failing,
}

/// A watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    /// Its id.
    pub id: String,
    /// What it looks at.
    pub url: String,
    /// What of it is compared.
    pub mode: Mode,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Seconds from one check to the next.
    pub interval: u32,
    /// The hash of the last value, 16 hex characters; empty before the first.
    pub last_hash: String,
    /// The last value, cut where it is long; empty before the first.
    pub last_value: String,
    /// When it was last looked at: ISO 8601, UTC, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// Extension: the path into JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extract: Option<String>,
    /// Extension: which values it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_on: Option<String>,
    /// Extension: the group that is told too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Extension: the names of the headers that are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<String>>,
    /// Extension: how it is doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Health>,
    /// Extension: why the last check failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Extension: the HTTP status of the last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
    /// Extension: when it is looked at next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_check: Option<String>,
    /// Extension: how many checks have failed in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// Extension: the name of the member that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

impl Watched {
    /// The same without what is ours beyond the contract.
    pub fn plain(self) -> Self {
        Self {
            extract: None,
            notify_on: None,
            group: None,
            headers: None,
            status: None,
            last_error: None,
            last_status: None,
            next_check: None,
            failures: None,
            created_by: None,
            ..self
        }
    }
}

/// The watches of a member, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "watch_list_result")]
pub struct WatchList {
    /// As many as fit one frame.
    pub watches: Vec<Watched>,
    /// Extension: how many there are beyond these; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<u32>,
}

/// Extension: says what one check sees now.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "watch_test")]
pub struct TestWatch {
    /// What is looked at.
    pub url: String,
    /// What of it is compared; absent: its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The path into JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extract: Option<String>,
    /// Sent with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
}

/// Extension: what one check saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "watch_test_result", rename_all = "camelCase")]
pub struct WatchTested {
    /// What was looked at.
    pub url: String,
    /// Where that led, by redirects.
    pub final_url: String,
    /// The HTTP status; 0 without an answer.
    pub status: u16,
    /// The value, cut where it is long; empty where the check failed.
    pub value: String,
    /// Its hash; empty where the check failed.
    pub hash: String,
    /// What the answer calls its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How long its body is.
    pub bytes: u64,
    /// How many milliseconds it took.
    pub ms: u64,
    /// Why the check failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A value is what a watch waits for: the `eventData` of [`TRIGGERED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Triggered {
    /// The watch.
    pub watch_id: String,
    /// What it looks at.
    pub url: String,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Extension: the name of the member that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// What of it is compared.
    pub mode: Mode,
    /// What it was, cut where it is long.
    pub old_value: String,
    /// What it is, cut where it is long.
    pub new_value: String,
}

/// Checks fail, or do not any more: the `eventData` of [`FAILING`] and [`RECOVERED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failing {
    /// The watch.
    pub watch_id: String,
    /// What it looks at.
    pub url: String,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Extension: the name of the member that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Why the last check failed; absent once one succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many failed in a row.
    pub failures: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_steps_are_told() {
        let told = |on, old, new| NotifyOn::parse(on).map(|on| on.tells(old != new, old, new));

        assert_eq!(told("change", "a", "b"), Some(true));
        assert_eq!(told("change", "a", "a"), Some(false));
        assert_eq!(told("match:b", "a", "b"), Some(true));
        assert_eq!(told("match:b", "b", "b"), Some(false));
        assert_eq!(told("match:b", "a", "c"), Some(false));
        assert_eq!(told("not_match:a", "a", "b"), Some(true));
        assert_eq!(told("not_match:a", "b", "c"), Some(false));
        assert_eq!(told("match:", "a", ""), Some(true), "an empty value is one");
        for unknown in ["", "Change", "match", "matches:a", "not_match", " change"] {
            assert_eq!(NotifyOn::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn an_interval_is_any_number_and_made_whole() {
        let read = |interval: &str| {
            let frame = format!(r#"{{"type":"watch","url":"u","interval":{interval}}}"#);
            serde_json::from_str::<Watch>(&frame).map(|watch| watch.interval)
        };

        assert_eq!(read("30").unwrap(), Some(30));
        assert_eq!(read("7.5").unwrap(), Some(8));
        assert_eq!(read("-1").unwrap(), Some(0));
        assert_eq!(read("1e300").unwrap(), Some(u32::MAX));
        assert!(read("\"30\"").is_err());
    }
}
