//! A snapshot of the database, kept to tell what came before a session.

use jiff::Timestamp;

/// A snapshot of PostgreSQL's, as `pg_current_snapshot()` writes it: `xmin:xmax:xip,xip`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    xmax: u64,
    in_progress: Vec<u64>,
    taken_at: Timestamp,
}

impl Snapshot {
    /// Reads a snapshot that was taken no later than `taken_at`, by the database's clock.
    pub fn read(text: &str, taken_at: Timestamp) -> Option<Self> {
        let mut parts = text.split(':');
        let (_xmin, xmax, list) = (parts.next()?, parts.next()?, parts.next()?);
        let numbers = list.split(',').filter(|number| !number.is_empty());
        let in_progress = numbers.map(|number| number.parse().ok()).collect::<Option<_>>()?;
        Some(Self { xmax: xmax.parse().ok()?, in_progress, taken_at })
    }

    /// Whether it saw what this transaction stored at `at`. The time tells a transaction from an
    /// older one of the same number, which a crash of the database took back.
    pub fn sees(&self, xid: u64, at: Timestamp) -> bool {
        xid < self.xmax && !self.in_progress.contains(&xid) && at <= self.taken_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_what_had_ended_when_it_was_taken() {
        let (then, later) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let snapshot = Snapshot::read("10:14:10,12", then).unwrap();
        let seen: Vec<u64> = (8..16).filter(|xid| snapshot.sees(*xid, then)).collect();
        assert_eq!(seen, [8, 9, 11, 13]);
        assert!(Snapshot::read("10:14:", then).unwrap().sees(10, then));
        assert!(!snapshot.sees(8, later), "the number was given again");
        assert_eq!(Snapshot::read("nonsense", then), None);
    }
}
