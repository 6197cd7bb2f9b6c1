//! State: values under keys that all peers of a mesh share.
//!
//! A value is any JSON, kept as the text that was sent: `null`, the order of an object's keys and
//! the digits of a number come back as they were. Every change is told to the other peers. A key
//! has a version that grows with each change, and goes on when the key is removed and set again.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{call::calls, messaging::Ack};

calls! { State {
    /// Sets a key.
    "set_state" SetState => Ack,
    /// Reads a key.
    "get_state" GetState => StateResult,
    /// Lists keys with their values.
    "list_state" ListState => StateList,
    /// Extension: removes a key.
    "delete_state" DeleteState => Ack,
}}

/// Sets a key. The contract answers nothing; a peer with cap `replies` gets an `ack` that names the
/// version, and never a `state_result`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "set_state", rename_all = "camelCase")]
pub struct SetState {
    /// The key: not empty, without control characters.
    pub key: String,
    /// What it is to hold.
    pub value: Box<RawValue>,
    /// Extension: only if the key has this version; 0: only if there is no such key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
    /// Extension: after so many seconds the key is gone, unless it was set again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
}

/// Reads a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "get_state")]
pub struct GetState {
    /// The key.
    pub key: String,
}

/// Lists keys with their values, by key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "list_state")]
pub struct ListState {
    /// Extension: only keys that begin so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Extension: only keys after this one; the last of a list that said `more`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Extension: removes a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "delete_state", rename_all = "camelCase")]
pub struct DeleteState {
    /// The key.
    pub key: String,
    /// Only if the key has this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
}

/// A key and what it holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The key.
    pub key: String,
    /// What it holds.
    pub value: Box<RawValue>,
    /// The enrolment name of the member that set it.
    pub updated_by: String,
    /// When, ISO 8601.
    pub updated_at: String,
    /// Extension: its version; 0 where there is no such key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Extension: when it ends by itself, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
            && self.value.get() == other.value.get()
            && self.updated_by == other.updated_by
            && self.updated_at == other.updated_at
            && self.version == other.version
            && self.expires_at == other.expires_at
    }
}

impl Eq for Entry {}

impl Entry {
    /// What is said of a key that there is not.
    pub fn absent(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            value: null(),
            updated_by: String::new(),
            updated_at: String::new(),
            version: Some(0),
            expires_at: None,
        }
    }

    /// The same without what is ours beyond the contract.
    pub fn plain(self) -> Self {
        Self { version: None, expires_at: None, ..self }
    }
}

/// A key that was asked for. One that there is not is answered with an empty `key`, `null` and empty
/// texts, which the reference's client takes for "not found".
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "state_result", rename_all = "camelCase")]
pub struct StateResult {
    /// The key; empty where there is none.
    pub key: String,
    /// What it holds.
    pub value: Box<RawValue>,
    /// See [`Entry::updated_by`].
    pub updated_by: String,
    /// See [`Entry::updated_at`].
    pub updated_at: String,
    /// Extension: see [`Entry::version`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Extension: see [`Entry::expires_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl From<Entry> for StateResult {
    fn from(entry: Entry) -> Self {
        let Entry { key, value, updated_by, updated_at, version, expires_at } = entry;
        Self { key, value, updated_by, updated_at, version, expires_at }
    }
}

impl From<StateResult> for Entry {
    fn from(result: StateResult) -> Self {
        let StateResult { key, value, updated_by, updated_at, version, expires_at } = result;
        Self { key, value, updated_by, updated_at, version, expires_at }
    }
}

/// Keys of a mesh.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "state_list")]
pub struct StateList {
    /// By key, as many as fit one frame.
    pub entries: Vec<Entry>,
    /// Extension: there are more, after the last of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<bool>,
}

/// Another peer changed a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "state_change", rename_all = "camelCase")]
pub struct StateChange {
    /// The key; `_context:` and a member's name when that member shared its context.
    pub key: String,
    /// What it holds now; `null` when it was removed, or ended by itself.
    pub value: Box<RawValue>,
    /// The enrolment name of the member that did it; who set it last, when it ended by itself.
    pub updated_by: String,
    /// Extension: the version that this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Extension: `true` when there is no such key any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<bool>,
}

/// The JSON `null`.
pub fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// How deep the arrays and objects of a JSON text are nested. Parsers have a bound, and what goes
/// through unread must not be what breaks them.
pub fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut is_escaped) = (false, false);
    for byte in json.bytes() {
        if in_text {
            in_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => (),
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::depth;

    #[test]
    fn brackets_count_where_they_are_no_text() {
        for (json, deep) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[1,{"b":2}],"c":[]}"#, 3),
            (r#""[[[""#, 0),
            (r#"["\"[[", "\\", [1]]"#, 2),
        ] {
            assert_eq!(depth(json), deep, "{json}");
        }
    }
}
