//! How far everybody is: what the peers of a run share with each other and with who runs it.
//!
//! A send holds its place in the sender's window until it was acknowledged *and* every recipient
//! has opened it. So the load is a closed loop: what is under way is bounded by peers and windows,
//! and a throughput is one that the recipients kept up with.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use futures_util::task::AtomicWaker;

/// Multicasts that may be told apart while they are on their way: far more than any window.
const RING: usize = 4096;

/// What the peers are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Be attached.
    Waiting,
    /// Send.
    Running,
    /// Send no more; receive what is under way.
    Draining,
    /// Leave.
    Over,
}

/// A run.
#[derive(Debug)]
pub struct Course {
    since: Instant,
    phase: AtomicU8,
    is_measuring: AtomicBool,
    problem: Mutex<Option<String>>,
    peers: Vec<Progress>,
}

/// How far one peer is with what it sends.
#[derive(Debug)]
pub struct Progress {
    /// Sends that were written.
    pub sent: AtomicU64,
    /// Sends that were acknowledged.
    pub acked: AtomicU64,
    /// Sends that every recipient has opened.
    pub opened: AtomicU64,
    /// Who of its recipients has not opened a multicast yet, by its number.
    missing: Box<[AtomicU32]>,
    recipients: u32,
    waker: AtomicWaker,
}

impl Progress {
    fn new(recipients: u32) -> Self {
        let ring = if recipients > 1 { RING } else { 0 };
        Self {
            sent: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            missing: (0..ring).map(|_| AtomicU32::new(recipients)).collect(),
            recipients,
            waker: AtomicWaker::new(),
        }
    }

    /// A recipient has opened the send of this number.
    pub fn opened(&self, number: u64) {
        if self.recipients > 1 {
            let slot = usize::try_from(number % RING as u64).expect("it is below the ring's size");
            if self.missing[slot].fetch_sub(1, Ordering::AcqRel) > 1 {
                return;
            }
            self.missing[slot].store(self.recipients, Ordering::Release);
        }
        self.opened.fetch_add(1, Ordering::AcqRel);
        self.waker.wake();
    }

    /// Sends that hold a place in the window.
    pub fn in_flight(&self) -> u64 {
        let opened = self.opened.load(Ordering::Acquire);
        let done = opened.min(self.acked.load(Ordering::Relaxed));
        self.sent.load(Ordering::Relaxed).saturating_sub(done)
    }

    /// Has this task woken when something changes.
    pub fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }
}

impl Course {
    /// A run of peers, each given by how many recipients a send of it has.
    pub fn new(recipients: impl IntoIterator<Item = u32>) -> Self {
        Self {
            since: Instant::now(),
            phase: AtomicU8::new(Phase::Waiting as u8),
            is_measuring: AtomicBool::new(false),
            problem: Mutex::new(None),
            peers: recipients.into_iter().map(Progress::new).collect(),
        }
    }

    /// Nanoseconds since the run was set up.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_nanos()).expect("a run takes less than 500 years")
    }

    /// The moment that is this far in the run.
    pub fn moment(&self, ns: u64) -> Instant {
        self.since + std::time::Duration::from_nanos(ns)
    }

    /// What the peers are to do now.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Waiting,
            1 => Phase::Running,
            2 => Phase::Draining,
            _ => Phase::Over,
        }
    }

    /// Tells the peers what to do next.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        for peer in &self.peers {
            peer.waker.wake();
        }
    }

    /// Whether what arrives now counts.
    pub fn is_measuring(&self) -> bool {
        self.is_measuring.load(Ordering::Relaxed)
    }

    /// What arrives from now on counts, or does no longer. Returns the moment.
    pub fn measure(&self, is_on: bool) -> u64 {
        self.is_measuring.store(is_on, Ordering::Relaxed);
        self.now_ns()
    }

    /// How far a peer is.
    pub fn peer(&self, index: usize) -> &Progress {
        &self.peers[index]
    }

    /// Whether nothing that was sent is under way.
    pub fn is_drained(&self) -> bool {
        self.peers.iter().all(|peer| {
            let sent = peer.sent.load(Ordering::Relaxed);
            let done = [&peer.acked, &peer.opened].map(|count| count.load(Ordering::Relaxed));
            done.iter().all(|count| *count >= sent)
        })
    }

    /// All that was sent, and all that was acknowledged.
    pub fn counts(&self) -> (u64, u64) {
        let sum = |count: fn(&Progress) -> &AtomicU64| {
            self.peers.iter().map(|peer| count(peer).load(Ordering::Relaxed)).sum()
        };
        (sum(|peer| &peer.sent), sum(|peer| &peer.acked))
    }

    /// The run cannot go on; the first reason is kept.
    pub fn fail(&self, problem: String) {
        let mut known = self.problem.lock().expect("nothing panics while it holds this lock");
        known.get_or_insert(problem);
    }

    /// Why the run cannot go on.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().expect("nothing panics while it holds this lock").clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_window_is_free_when_a_send_is_acknowledged_and_opened_by_all() {
        let course = Course::new([3, 1]);
        let peer = course.peer(0);
        peer.sent.store(2, Ordering::Relaxed);
        peer.opened(0);
        peer.opened(0);
        assert_eq!(peer.in_flight(), 2);
        peer.opened(0);
        assert_eq!((peer.in_flight(), course.is_drained()), (2, false));
        peer.acked.store(2, Ordering::Relaxed);
        assert_eq!((peer.in_flight(), course.is_drained()), (1, false));
        (0..3).for_each(|_| peer.opened(1));
        assert_eq!((peer.in_flight(), course.is_drained()), (0, true));
    }
}
