//! Notes: what a node is told of messages and events, in a form that every program can write.
//!
//! Edges tell each other more than this (`edge/src/note.rs`); what workers tell them is here. A note
//! is a hint; the table is the truth. `rows` carries a counter of its writer for its destination, so
//! that a lost one is noticed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use skein_wire::{limit, push::Push};
use uuid::Uuid;

use crate::serve::Body;

/// Messages for sessions of the destination, in the order of their commits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rows {
    /// The writer: the node that stored them.
    pub w: i32,
    /// The writer's counter for this destination; one more each time.
    pub c: u64,
    /// Direct messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub d: Vec<Told>,
    /// Multicasts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub l: Vec<Logged>,
    /// There are more than fit: look.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// A direct message that was told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    /// Its number.
    pub s: i64,
    /// The mailbox it was sent to.
    pub r: i64,
    /// The session it is for now.
    pub o: i64,
    /// Its body, unless it is fresh or does not fit: then the session's page is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Inline>,
}

/// A multicast that was told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Logged {
    /// Its number.
    pub s: i64,
    /// The mesh's number.
    pub m: i64,
    /// The sender's mailbox, and what it was sent to.
    pub a: i64,
    /// See `a`.
    pub t: String,
    /// The transaction that stored it.
    pub x: i64,
    /// Its body, unless it is fresh or does not fit: then the log is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Inline>,
}

/// A body that travels with its note.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Inline {
    /// The message's id.
    pub i: Uuid,
    /// The key that the sender sealed with.
    pub k: String,
    /// 0 now, 1 next, 2 low.
    pub p: i16,
    /// As sent.
    pub n: String,
    /// As sent.
    pub c: String,
    /// When it was stored, epoch milliseconds.
    pub t: i64,
}

impl Inline {
    /// The body of a stored message.
    pub fn of(body: &Body) -> Self {
        Self {
            i: body.message_id,
            k: body.sender_key.clone(),
            p: body.priority,
            n: body.nonce.clone(),
            c: body.ciphertext.clone(),
            t: body.at.as_millisecond(),
        }
    }

    /// When it was stored.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_millisecond(self.t).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// A system event for the sessions of a mesh.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// The mesh's number.
    pub mesh: i64,
    /// The session that does not get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<i64>,
    /// The session that it is about, and which attachment of it: older events are dropped.
    pub about: i64,
    /// See `about`.
    pub no: i64,
    /// What is pushed.
    pub push: Push,
}

/// The notes that a worker sends, under the names that edges read.
#[derive(Serialize)]
#[serde(tag = "k", rename_all = "lowercase")]
enum Worded<'a> {
    Rows(&'a Rows),
    Wake { kind: &'a str },
}

impl Rows {
    /// The note of these rows, or one that fits in its place: without bodies, or that there are some.
    pub fn payload(mut self) -> String {
        let text = worded(&Worded::Rows(&self));
        if text.len() <= limit::NOTIFY_BYTES_MAX {
            return text;
        }
        let has_bodies =
            self.d.iter().any(|t| t.b.is_some()) || self.l.iter().any(|l| l.b.is_some());
        if has_bodies {
            self.d.iter_mut().for_each(|told| told.b = None);
            self.l.iter_mut().for_each(|logged| logged.b = None);
            return self.payload();
        }
        let cut = Self { d: Vec::new(), l: Vec::new(), cut: true, ..self };
        worded(&Worded::Rows(&cut))
    }
}

/// The note that wakes a kind of duty.
pub(crate) fn wake(kind: &str) -> String {
    worded(&Worded::Wake { kind })
}

/// The kind of duty that a note wakes; `None`: it says something else, and wakes all.
pub fn woken(payload: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Wake {
        k: String,
        kind: String,
    }
    serde_json::from_str(payload).ok().filter(|wake: &Wake| wake.k == "wake").map(|wake| wake.kind)
}

/// The note of a frame for the sessions of a member, as the relay of an edge reads it; `None`: it
/// does not fit. The writer counts what it sends to the relays: they take each count once.
pub fn to_member(writer: i32, c: u64, mesh: i64, member: i64, frame: &str) -> Option<String> {
    let audience = json!({"mesh": mesh, "member": member});
    let note =
        json!({"k": "relay", "w": writer, "c": c, "l": [{"event": [audience, {"here": frame}]}]});
    Some(note.to_string()).filter(|note| note.len() <= limit::NOTIFY_BYTES_MAX)
}

fn worded(note: &Worded<'_>) -> String {
    serde_json::to_string(note).expect("notes have string keys only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_names_its_kind_and_everything_else_wakes_all() {
        assert_eq!(woken(&wake("schedule")).as_deref(), Some("schedule"));
        for other in [r#"{"k":"look"}"#, r#"{"k":"relay","kind":"clock"}"#, "", "look", "{}"] {
            assert_eq!(woken(other), None, "{other}");
        }
    }

    #[test]
    fn rows_that_do_not_fit_are_told_as_a_cut() {
        let told = |s| Told { s, r: 1, o: 1, b: None };
        let rows =
            |n| Rows { w: 7, c: 3, d: (0..n).map(told).collect(), l: Vec::new(), cut: false };

        let (few, many) = (rows(10).payload(), rows(1000).payload());

        assert!(few.starts_with(r#"{"k":"rows","w":7,"c":3,"d":["#), "{few}");
        assert_eq!(many, r#"{"k":"rows","w":7,"c":3,"cut":true}"#);
    }
}
