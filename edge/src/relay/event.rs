//! Events: what is pushed to whom, without being asked.

use super::parcel::Audience;

/// A frame for sessions of a mesh.
#[derive(Debug, Clone)]
pub struct Event {
    pub(super) audience: Audience,
    pub(super) frame: String,
    pub(super) nodes: Option<Vec<i32>>,
}

impl Event {
    /// For every session of the mesh, by its number.
    pub fn to_mesh(mesh: i64, frame: String) -> Self {
        Self { audience: Audience { mesh, ..Audience::default() }, frame, nodes: None }
    }

    /// Not for this session.
    pub fn but(mut self, mailbox: i64) -> Self {
        self.audience.except = Some(mailbox);
        self
    }

    /// Only for the sessions of this member.
    pub fn of_member(mut self, mailbox: i64) -> Self {
        self.audience.member = Some(mailbox);
        self
    }

    /// Only for sessions that follow this topic; see [`Relay::follow`](super::Relay::follow).
    pub fn following(mut self, topic: &str) -> Self {
        self.audience.topic = Some(topic.to_owned());
        self
    }

    /// Only for sessions with cap `replies`.
    pub fn with_replies(mut self) -> Self {
        self.audience.replies = true;
        self
    }

    /// The newest of `key` in its mesh: a node that has pushed this version or a later one of it
    /// drops the event.
    pub fn newest(mut self, key: &str, version: i64) -> Self {
        self.audience.newest = Some((key.to_owned(), version));
        self
    }

    /// Goes to these nodes, by whoever knows them, and not to all that have sessions of the mesh.
    pub fn at(mut self, nodes: Vec<i32>) -> Self {
        self.nodes = Some(nodes);
        self
    }
}
