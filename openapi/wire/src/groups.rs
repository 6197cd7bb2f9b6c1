//! Groups: names that several sessions share, so that one message reaches them all.
//!
//! A group belongs to the session. `@a` reaches the members of `a` and of its subgroups `a/…`.

use serde::{Deserialize, Serialize};

use crate::call::calls;

calls! { Groups {
    /// Joins a group, or changes the role in it.
    "join_group" JoinGroup => (),
    /// Leaves a group.
    "leave_group" LeaveGroup => (),
}}

/// A group that a session is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its path, without `@`: `a` or `a/b`.
    pub name: String,
    /// What the session does there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// Joins a group, or changes the role in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "join_group")]
pub struct JoinGroup {
    /// Its path; a leading `@` is dropped.
    pub name: String,
    /// The role; an empty one counts as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// Leaves a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "leave_group")]
pub struct LeaveGroup {
    /// Its path; a leading `@` is dropped.
    pub name: String,
}

/// Whether a message to the group `target` is for a member of `group`: the same, or above it.
pub fn reaches(target: &str, group: &str) -> bool {
    group.strip_prefix(target).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::reaches;

    #[test]
    fn a_group_reaches_itself_and_its_subgroups() {
        assert!(reaches("a", "a") && reaches("a", "a/b") && reaches("a/b", "a/b/c"));
        assert!(!reaches("a/b", "a") && !reaches("a", "ab") && !reaches("b", "a/b"));
    }
}
