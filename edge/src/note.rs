//! Notes: what nodes tell each other through NOTIFY.
//!
//! A note is a hint; the table is the truth. `rows` carries a counter for its destination, so that a
//! lost one is noticed; the others are best effort, and what they say is also found by a look.

use serde::{Deserialize, Serialize};
use skein_sql::clock::Head;
pub use skein_sql::note::{Event, Inline, Logged, Rows, Told};
use skein_wire::limit;

use crate::{relay::Parcels, states::Changed};

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
    /// How far the clocks of meshes have come.
    Ticks {
        /// In no order: each is of another mesh.
        l: Vec<Head>,
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
            Self::Rows(rows) => rows.payload(),
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
