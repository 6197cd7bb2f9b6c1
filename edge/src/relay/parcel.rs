//! Parcels: what the relays of two nodes hand each other, inside notes.

use serde::{Deserialize, Serialize};
use skein_wire::{Code, limit};

/// What a note of parcels may hold of them; the rest is the note's own form.
const PARCELS_BYTES_MAX: usize = limit::NOTIFY_BYTES_MAX - 64;

/// Some parcels of one node for another, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parcels {
    /// The node that sends them.
    pub w: i32,
    /// Its counter for this destination. It tells a note that was sent twice, and keeps PostgreSQL
    /// from taking two equal ones of one transaction for the same.
    pub c: u64,
    /// Them.
    pub l: Vec<Parcel>,
}

/// One thing for another node's relay.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parcel {
    /// A question for a session.
    Call(Question),
    /// The answer to call `i` of the destination.
    Answer {
        /// The call.
        i: u64,
        /// What its caller is sent.
        b: Body,
    },
    /// Call `i` of the destination will not be answered.
    Failed {
        /// The call.
        i: u64,
        /// Why.
        y: Why,
    },
    /// A frame for sessions of a mesh.
    Event(Audience, Body),
}

/// A question for a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Question {
    /// The number of the call at the caller's node.
    pub i: u64,
    /// The session that is asked, by its mailbox.
    pub to: i64,
    /// What its answer is matched by.
    pub key: String,
    /// The caller's `_reqId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// How long an answer is waited for, in milliseconds.
    pub ms: u64,
    /// What the session is sent.
    pub b: Body,
}

/// A frame on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// Itself.
    Here(String),
    /// The id of its row, and its size in bytes.
    Row(i64, usize),
}

impl Default for Body {
    fn default() -> Self {
        Self::Here(String::new())
    }
}

/// Why a call will not be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// The session that was asked has no socket any more.
    Gone,
    /// It was asked too much already.
    Busy,
}

impl Why {
    /// What the caller is told.
    pub fn code(self) -> Code {
        match self {
            Self::Gone => Code::PeerGone,
            Self::Busy => Code::TooManyCalls,
        }
    }
}

/// Which sessions of a mesh an event is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// The mesh's number.
    pub mesh: i64,
    /// Not this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<i64>,
    /// Only those of this member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<i64>,
    /// Only those that follow this topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Only those with cap `replies`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replies: bool,
    /// What it is the newest of, and its version: a node drops what is not newer than the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<(String, i64)>,
}

impl Parcel {
    /// The frame that it carries, if it does.
    pub fn body(&self) -> Option<&Body> {
        match self {
            Self::Call(Question { b, .. }) | Self::Answer { b, .. } | Self::Event(_, b) => Some(b),
            Self::Failed { .. } => None,
        }
    }

    /// The same with this body.
    pub fn with(&self, body: Body) -> Self {
        let mut parcel = self.clone();
        match &mut parcel {
            Self::Call(Question { b, .. }) | Self::Answer { b, .. } | Self::Event(_, b) => {
                *b = body;
            }
            Self::Failed { .. } => (),
        }
        parcel
    }

    /// The same with this frame in it, if a note has room for that.
    pub fn small(&self, frame: &str) -> Option<Self> {
        if frame.len() > PARCELS_BYTES_MAX {
            return None;
        }
        // Escapes make a frame longer.
        let parcel = self.with(Body::Here(frame.to_owned()));
        (parcel.n_bytes() <= PARCELS_BYTES_MAX).then_some(parcel)
    }

    fn n_bytes(&self) -> usize {
        serde_json::to_string(self).expect("parcels have string keys only").len()
    }
}

/// Parcels in as few lots as fit into a note each, in order.
pub fn lots(parcels: Vec<Parcel>) -> Vec<Vec<Parcel>> {
    let mut lots = Vec::new();
    let (mut lot, mut n_bytes) = (Vec::new(), 0);
    for parcel in parcels {
        // A comma follows each.
        let n_parcel = parcel.n_bytes() + 1;
        if n_bytes + n_parcel > PARCELS_BYTES_MAX && !lot.is_empty() {
            lots.push(std::mem::take(&mut lot));
            n_bytes = 0;
        }
        n_bytes += n_parcel;
        lot.push(parcel);
    }
    if !lot.is_empty() {
        lots.push(lot);
    }
    lots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::Note;

    #[test]
    fn what_is_small_makes_notes_that_fit_and_keeps_its_order() {
        let audience = Audience { mesh: i64::MAX, ..Audience::default() };
        let event = Parcel::Event(audience, Body::default());
        let sizes = (0..8000).step_by(7);
        let small: Vec<Parcel> = sizes.map_while(|n| event.small(&"\"".repeat(n))).collect();
        let n_parcels = small.len();
        assert!((400..600).contains(&n_parcels), "quotes are twice as long: {n_parcels}");

        let lots = lots(small);

        let mut heard = Vec::new();
        for (c, l) in lots.into_iter().enumerate() {
            let c = u64::MAX - c as u64;
            let payload = Note::Relay(Parcels { w: i32::MAX, c, l }).payload();
            match Note::read(&payload).unwrap() {
                Note::Relay(parcels) => {
                    heard.extend(parcels.l.into_iter().map(|parcel| match parcel.body() {
                        Some(Body::Here(frame)) => frame.len(),
                        other => panic!("{other:?}"),
                    }))
                }
                other => panic!("a note that did not fit: {other:?}"),
            }
        }
        assert!(heard.into_iter().eq((0..8000).step_by(7).take(n_parcels)));
    }
}
