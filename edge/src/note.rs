//! Notes: what nodes tell each other through NOTIFY.
//!
//! A note is a hint; the table is the truth. `rows` carries a counter for its destination, so that a
//! lost one is noticed; the others are best effort, and what they say is also found by a look.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use skein_sql::serve::Body;
use skein_wire::limit;
use uuid::Uuid;

use crate::states::Changed;

use crate::relay::Parcels;

/// What a note of several events may hold of them; the rest is the note's own form.
const EVENTS_BYTES_MAX: usize = limit::NOTIFY_BYTES_MAX - 64;

/// One notification.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub enum Note {
    /// Messages for sessions of the destination.
    Rows(Rows),
    /// Look now: something changed that is not told row by row.
    Look,
    /// A system event for the sessions of a mesh.
    Event(Box<Event>),
    /// Several of them.
    Events {
        /// In the order in which they came.
        l: Vec<Event>,
    },
    /// Changes of state for the sessions of their meshes.
    States {
        /// In no order: each has its version.
        l: Vec<Changed>,
    },
    /// A session's status was changed elsewhere.
    Status {
        /// Its mailbox.
        session: i64,
    },
    /// A member was revoked: its sockets close.
    Close {
        /// The member's mailbox.
        member: i64,
    },
    /// A session attached elsewhere: its older socket closes.
    Replaced {
        /// Its mailbox.
        session: i64,
        /// The attachment that holds now.
        no: i64,
    },
    /// What the relays of two nodes hand each other; it does not go through the intake.
    Relay(Parcels),
}

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
    pub push: skein_wire::push::Push,
}

impl Note {
    /// Events in as few notes as hold them. One that fits into none is told alone, which drops it.
    pub fn events(events: Vec<Event>) -> Vec<Self> {
        let mut notes = Vec::new();
        let (mut gathered, mut n_bytes) = (Vec::new(), 0);
        for event in events {
            let text = serde_json::to_string(&event).expect("events have string keys only");
            if n_bytes + text.len() > EVENTS_BYTES_MAX && !gathered.is_empty() {
                notes.push(Self::Events { l: std::mem::take(&mut gathered) });
                n_bytes = 0;
            }
            // A comma follows each.
            n_bytes += text.len() + 1;
            gathered.push(event);
        }
        if !gathered.is_empty() {
            notes.push(Self::Events { l: gathered });
        }
        notes
    }

    /// The payload, or one that fits in its place.
    pub fn payload(self) -> String {
        let text = serde_json::to_string(&self).expect("notes have string keys only");
        if text.len() <= limit::NOTIFY_BYTES_MAX {
            return text;
        }
        match self {
            Self::Rows(mut rows) => {
                let with_bodies =
                    rows.d.iter().any(|t| t.b.is_some()) || rows.l.iter().any(|l| l.b.is_some());
                if with_bodies {
                    rows.d.iter_mut().for_each(|t| t.b = None);
                    rows.l.iter_mut().for_each(|l| l.b = None);
                    return Self::Rows(rows).payload();
                }
                Self::Rows(Rows { d: Vec::new(), l: Vec::new(), cut: true, ..rows }).payload()
            }
            // An event too large to tell is dropped: `list_peers` is the truth.
            _ => Self::Look.payload(),
        }
    }

    /// Reads a payload.
    pub fn read(payload: &str) -> serde_json::Result<Self> {
        serde_json::from_str(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(about: i64, n_bytes: usize) -> Event {
        let data = serde_json::json!({ "name": "n".repeat(n_bytes) });
        let push = crate::push::event("mesh", "peer_joined", data);
        Event { mesh: 1, except: Some(about), about, no: 1, push }
    }

    #[test]
    fn events_share_notes_that_fit_and_keep_their_order() {
        let events: Vec<Event> = (0..200).map(|about| event(about, about as usize)).collect();

        let notes = Note::events(events);

        assert!(notes.len() < 20, "{} notes", notes.len());
        let mut heard = Vec::new();
        for note in notes {
            match Note::read(&note.payload()).unwrap() {
                Note::Events { l } => heard.extend(l.into_iter().map(|event| event.about)),
                other => panic!("a note that did not fit: {other:?}"),
            }
        }
        assert!(heard.into_iter().eq(0..200));
    }

    #[test]
    fn an_event_that_fits_nowhere_drops_no_other() {
        let notes =
            Note::events(vec![event(1, 10), event(2, limit::NOTIFY_BYTES_MAX), event(3, 10)]);

        let heard = notes.into_iter().map(|note| Note::read(&note.payload()).unwrap());
        let about = heard.map(|note| match note {
            Note::Events { l } => l.iter().map(|event| event.about).collect(),
            _ => Vec::new(),
        });
        assert_eq!(about.collect::<Vec<_>>(), [vec![1], vec![], vec![3]]);
    }
}
