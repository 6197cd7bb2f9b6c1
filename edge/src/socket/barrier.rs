//! Ping barriers: what a client without `received` has taken.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

/// The ping that follows a run of pushes. One is in flight at a time.
#[derive(Debug, Default)]
pub struct Barrier {
    /// Its payload and the last push written before it.
    in_flight: Mutex<Option<([u8; 8], u64)>>,
    /// The last push that a barrier has settled.
    settled: AtomicU64,
    /// Wakes the writing half to set the next one.
    pub next: tokio::sync::Notify,
}

impl Barrier {
    /// The payload of a new barrier after push `last`; `None` when one is in flight or none is due.
    pub fn set(&self, last: u64) -> Option<[u8; 8]> {
        let mut in_flight = self.in_flight.lock().expect("nothing panics while it holds it");
        if in_flight.is_some() || last <= self.settled.load(Ordering::Relaxed) {
            return None;
        }
        let random = uuid::Uuid::new_v4().into_bytes();
        let payload = random.first_chunk::<8>().copied().expect("a UUID has 16 bytes");
        *in_flight = Some((payload, last));
        Some(payload)
    }

    /// The push up to which this pong settles, if it answers the barrier.
    pub fn answered(&self, payload: &[u8]) -> Option<u64> {
        let mut in_flight = self.in_flight.lock().expect("nothing panics while it holds it");
        let (_, last) = in_flight.take_if(|(expected, _)| expected == payload)?;
        self.settled.store(last, Ordering::Relaxed);
        self.next.notify_one();
        Some(last)
    }
}
