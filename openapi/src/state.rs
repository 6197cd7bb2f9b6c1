//! Shared state: values under keys that all peers of a mesh share.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A value for a key.
#[derive(Debug, Clone, PartialEq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
pub struct NewValue {
    /// What the key is to hold: any JSON, also `null`.
    #[oai(default)]
    #[serde(default)]
    pub value: Value,
    /// Only if the key has this version; 0: only if there is no such key.
    #[oai(validator(minimum(value = "0")), skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<i64>,
    /// After so many seconds the key is gone, unless it was set again.
    #[oai(
        validator(minimum(value = "1"), maximum(value = "31622400")),
        skip_serializing_if_is_none
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<i64>,
}

/// A key was set.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct Changed {
    /// Its version now.
    pub version: i64,
}

/// A key and what it holds.
#[derive(Debug, Clone, PartialEq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The key.
    pub key: String,
    /// What it holds.
    pub value: Value,
    /// The name of the member that set it.
    pub updated_by: String,
    /// When.
    pub updated_at: String,
    /// Its version.
    pub version: i64,
    /// When it ends by itself.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// Keys of a mesh with their values, by key.
#[derive(Debug, Clone, PartialEq, Object, Serialize, Deserialize)]
pub struct Entries {
    /// As many as fit.
    pub entries: Vec<Entry>,
    /// Where the list goes on: the next request's `after`. Absent at the end.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
