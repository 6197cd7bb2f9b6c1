//! Questions for sessions that are just attaching: the database has them already, the node not yet.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::parcel::Question;

/// How long a session may take from its attachment to being live.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions that wait at once.
const PARKED_MAX: usize = 1024;

/// A question that waits for its session.
#[derive(Debug)]
pub struct Waits {
    /// The caller's node.
    pub node: i32,
    /// The question.
    pub question: Question,
    /// The frame for the session.
    pub frame: String,
    since: Instant,
}

/// The questions that wait, by the session they are for.
#[derive(Debug, Default)]
pub struct Parked {
    waits: HashMap<i64, Vec<Waits>>,
    n: usize,
}

impl Parked {
    /// Lets a question wait; `false`: too many do.
    pub fn park(&mut self, node: i32, question: Question, frame: String) -> bool {
        if self.n >= PARKED_MAX {
            return false;
        }
        self.n += 1;
        let to = question.to;
        let waits = Waits { node, question, frame, since: Instant::now() };
        self.waits.entry(to).or_default().push(waits);
        true
    }

    /// The questions for a session that is live now, in their order.
    pub fn take(&mut self, mailbox: i64) -> Vec<Waits> {
        let taken = self.waits.remove(&mailbox).unwrap_or_default();
        self.n -= taken.len();
        taken
    }

    /// Those whose session did not come.
    pub fn expire(&mut self, now: Instant) -> Vec<Waits> {
        let mut expired = Vec::new();
        self.waits.retain(|_, waits| {
            expired.extend(waits.extract_if(.., |waits| waits.since + PATIENCE <= now));
            !waits.is_empty()
        });
        self.n -= expired.len();
        expired
    }
}
