//! Profile: what a peer says of itself.

use serde::{Deserialize, Serialize};

use crate::{call::calls, messaging::Ack};

calls! { Profile {
    /// Changes the fields that are given; the others stay.
    "set_profile" SetProfile => Ack,
}}

/// What a peer says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// An emoji or an address of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// What the peer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A few sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bio: Option<String>,
    /// What the peer can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
}

impl Profile {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes over every field that `change` has.
    pub fn merge(&mut self, change: &SetProfile) {
        fn take<T: Clone>(field: &mut Option<T>, change: &Option<T>) {
            if change.is_some() {
                field.clone_from(change);
            }
        }
        take(&mut self.avatar, &change.avatar);
        take(&mut self.title, &change.title);
        take(&mut self.bio, &change.bio);
        take(&mut self.capabilities, &change.capabilities);
    }
}

/// Changes the fields that are given; the others stay.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "set_profile")]
pub struct SetProfile {
    /// See [`Profile::avatar`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// See [`Profile::title`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// See [`Profile::bio`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bio: Option<String>,
    /// See [`Profile::capabilities`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
}
