//! A session's window: the memory of its attachment.
//!
//! Everything pushed and not yet settled is in it, so a page can leave out what this socket was
//! sent; a reconnect starts with an empty one and is sent again what the old socket took. See
//! delivery.md 5.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use jiff::Timestamp;
use skein_wire::limit;
use tokio::time::Instant;

use super::Snapshot;

/// Settled seqs that a window remembers, for announcements that come late.
const RECENT_MAX: usize = 2048;

/// One push that is not settled.
#[derive(Debug, Clone, Copy)]
struct Pushed {
    seq: i64,
    what: What,
    message_id: u128,
}

/// What was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A delivery row of this mailbox.
    Direct(i64),
    /// A multicast that this transaction stored.
    Multicast(u64),
}

/// A multicast that had no room.
#[derive(Debug, Clone, Copy)]
pub struct Skipped {
    /// Its number.
    pub seq: i64,
    /// When it was stored, which names its partition.
    pub at: Timestamp,
    /// The transaction that stored it.
    pub xid: u64,
    /// The size of its body.
    pub bytes: usize,
}

/// What was pushed to a socket and is not settled, and what it was not yet sent.
#[derive(Debug)]
pub struct Window {
    next: u64,
    pushed: BTreeMap<u64, Pushed>,
    by_id: HashMap<u128, u64>,
    /// Earlier pushes of ids that were pushed again: a repeat that was stored twice.
    twins: Vec<(u128, u64)>,
    /// Seqs of direct rows that this socket was sent: unsettled, and the last settled.
    seqs: HashSet<i64>,
    recent: VecDeque<i64>,
    /// Whether rows wait in the table that were not pushed for want of room.
    pub behind: bool,
    /// Whether rows may wait in the table that its status held back: until a page has shown them,
    /// nothing of their class is pushed as announced.
    pub held: bool,
    /// Multicasts that are for the session and were not pushed for want of room, oldest first.
    pub skipped: VecDeque<Skipped>,
    /// Multicasts that a catch-up sent, which an announcement may bring again.
    pub caught_up: HashSet<i64>,
    /// Everything in the log visible before this xid was pushed or skipped.
    horizon: u64,
    /// Everything before this xid is settled, and was when it was last written.
    kept: u64,
    /// Whether a multicast was pushed since the place was last written.
    log_moved: bool,
    /// For a session that is given nothing older than its attachment: the snapshot of that.
    attached_in: Option<Snapshot>,
    /// When the window last got smaller, or was empty.
    moved_at: Instant,
    /// Whether the intake has been asked to look for more.
    pub woken: bool,
}

impl Window {
    /// An empty window; its log starts at `place`.
    pub fn new(place: u64) -> Self {
        Self {
            next: 0,
            pushed: BTreeMap::new(),
            by_id: HashMap::new(),
            twins: Vec::new(),
            seqs: HashSet::new(),
            recent: VecDeque::new(),
            behind: false,
            held: false,
            skipped: VecDeque::new(),
            caught_up: HashSet::new(),
            horizon: place,
            kept: place,
            log_moved: false,
            attached_in: None,
            moved_at: Instant::now(),
            woken: false,
        }
    }

    /// How many more pushes there is room for.
    pub fn room(&self) -> usize {
        limit::WINDOW_MAX.saturating_sub(self.pushed.len())
    }

    /// How many direct rows this socket was sent that may still be in the table.
    pub fn remembered(&self) -> usize {
        self.seqs.len()
    }

    /// Whether this socket was sent the row.
    pub fn has(&self, seq: i64) -> bool {
        self.seqs.contains(&seq)
    }

    /// Notes a push.
    pub fn push(&mut self, seq: i64, what: What, message_id: u128) {
        if self.pushed.is_empty() {
            self.moved_at = Instant::now();
        }
        self.next += 1;
        self.pushed.insert(self.next, Pushed { seq, what, message_id });
        if let Some(twin) = self.by_id.insert(message_id, self.next) {
            self.twins.push((message_id, twin));
        }
        match what {
            What::Direct(_) => {
                self.seqs.insert(seq);
            }
            What::Multicast(_) => self.log_moved = true,
        }
    }

    /// The number of the last push.
    pub fn last(&self) -> u64 {
        self.next
    }

    /// Settles the pushes of these ids; unknown ones are ignored. Returns the delivery rows.
    pub fn settle_ids(&mut self, ids: impl Iterator<Item = u128>) -> Vec<(i64, i64)> {
        let mut rows = Vec::new();
        for id in ids {
            let Some(no) = self.by_id.remove(&id) else { continue };
            let twins = self.twins.extract_if(.., |(twin, _)| *twin == id);
            let numbers: Vec<u64> = twins.map(|(_, no)| no).chain([no]).collect();
            for pushed in numbers.iter().filter_map(|no| self.pushed.remove(no)).collect::<Vec<_>>()
            {
                self.settled(pushed, &mut rows);
            }
        }
        rows
    }

    /// Settles every push up to number `last`. Returns the delivery rows.
    pub fn settle_until(&mut self, last: u64) -> Vec<(i64, i64)> {
        let later = self.pushed.split_off(&(last + 1));
        let settled = std::mem::replace(&mut self.pushed, later);
        let mut rows = Vec::new();
        for pushed in settled.into_values() {
            self.by_id.remove(&pushed.message_id);
            self.twins.retain(|(id, _)| *id != pushed.message_id);
            self.settled(pushed, &mut rows);
        }
        rows
    }

    fn settled(&mut self, pushed: Pushed, rows: &mut Vec<(i64, i64)>) {
        self.moved_at = Instant::now();
        let What::Direct(recipient) = pushed.what else { return };
        rows.push((pushed.seq, recipient));
        self.recent.push_back(pushed.seq);
        if self.recent.len() > RECENT_MAX
            && let Some(old) = self.recent.pop_front()
        {
            self.seqs.remove(&old);
        }
    }

    /// Whether there is something to fetch and room for it, and nobody was asked yet; says so once.
    pub fn wants_more(&mut self) -> bool {
        let wants = (self.behind || !self.skipped.is_empty())
            && self.pushed.len() <= limit::WINDOW_MAX / 2
            && !self.woken;
        self.woken |= wants;
        wants
    }

    /// Whether pushes have waited unsettled for longer than they may.
    pub fn is_stuck(&self) -> bool {
        !self.pushed.is_empty() && self.moved_at.elapsed() > limit::WINDOW_STUCK
    }

    /// The session's place in the log: everything visible before this xid is settled. It is where
    /// the log was pushed to, or the oldest multicast that is not settled or was skipped.
    pub fn place(&self) -> u64 {
        let unsettled = self.pushed.values().filter_map(|pushed| match pushed.what {
            What::Multicast(xid) => Some(xid),
            What::Direct(_) => None,
        });
        let skipped = self.skipped.iter().map(|skipped| skipped.xid);
        unsettled.chain(skipped).fold(self.horizon, u64::min).max(self.kept)
    }

    /// Says that the session is given nothing that this snapshot saw.
    pub fn begin_after(&mut self, snapshot: Option<Snapshot>) {
        self.attached_in = snapshot;
    }

    /// Whether what this transaction stored at `at` came before the session. A node may hear of it
    /// later than of what came next; pushed then, it would be out of order.
    pub fn began_after(&self, xid: u64, at: Timestamp) -> bool {
        self.attached_in.as_ref().is_some_and(|snapshot| snapshot.sees(xid, at))
    }

    /// Everything visible before `horizon` was pushed or skipped.
    pub fn advance(&mut self, horizon: u64) {
        self.horizon = self.horizon.max(horizon);
    }

    /// The place, if it is to be written: a multicast came since the last time, and it moved.
    pub fn place_to_keep(&mut self) -> Option<u64> {
        let place = self.place();
        if !self.log_moved || place <= self.kept {
            return None;
        }
        self.kept = place;
        self.log_moved = self.pushed.values().any(|p| matches!(p.what, What::Multicast(_)));
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_settles_what_was_pushed_before_it_only() {
        let mut window = Window::new(0);
        window.push(10, What::Direct(1), 100);
        window.push(11, What::Direct(1), 101);
        let barrier = window.last();
        window.push(12, What::Direct(1), 102);

        assert_eq!(window.settle_until(barrier), [(10, 1), (11, 1)]);
        assert!(window.has(10) && window.has(12), "late announcements are still recognised");
        assert_eq!(window.room(), limit::WINDOW_MAX - 1);
    }

    #[test]
    fn the_place_is_the_oldest_multicast_that_is_not_settled() {
        let mut window = Window::new(5);
        window.push(20, What::Multicast(6), 200);
        window.push(21, What::Multicast(8), 201);
        window.skipped.push_back(Skipped { seq: 22, at: Timestamp::UNIX_EPOCH, xid: 9, bytes: 1 });
        window.advance(12);
        assert_eq!(window.place(), 6);

        window.settle_ids([200].into_iter());
        assert_eq!(window.place(), 8);
        window.settle_ids([201].into_iter());
        assert_eq!(window.place(), 9, "what was skipped is not settled");
        window.skipped.clear();
        assert_eq!(window.place_to_keep(), Some(12));
        assert_eq!(window.place_to_keep(), None, "written once");
    }

    #[test]
    fn one_word_settles_a_message_that_was_stored_and_pushed_twice() {
        let mut window = Window::new(0);
        window.push(10, What::Direct(1), 100);
        window.push(11, What::Direct(1), 100);

        assert_eq!(window.settle_ids([100].into_iter()), [(10, 1), (11, 1)]);
        assert!(!window.is_stuck() && window.room() == limit::WINDOW_MAX);
    }

    #[test]
    fn unknown_ids_settle_nothing() {
        let mut window = Window::new(0);
        window.push(10, What::Direct(1), 100);
        assert!(window.settle_ids([7].into_iter()).is_empty());
        assert_eq!(window.settle_ids([100, 100].into_iter()), [(10, 1)]);
    }
}
