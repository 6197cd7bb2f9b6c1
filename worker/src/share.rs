//! Shares: how many buckets of a kind are a worker's.
//!
//! The workers that have a seat of the kind are numbered in the order of their ids; every bucket is
//! in exactly one share, and the shares differ by one at most. The shares only say how many: which
//! buckets they are is settled by the locks.

use skein_sql::duties::{BUCKETS, Kind};

/// The nodes that have a seat, by kind, in the order of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seats(pub Vec<(Kind, Vec<i32>)>);

/// What is a worker's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// So many buckets.
    pub n: usize,
    /// Where to begin looking for free ones, so that workers rarely try the same.
    pub first: i32,
}

impl Seats {
    /// The share of `node`: nothing while it has no seat.
    pub fn share(&self, kind: Kind, node: i32) -> Share {
        let seats = self.0.iter().find(|seats| seats.0 == kind).map_or(&[][..], |seats| &seats.1);
        let Some(rank) = seats.iter().position(|seat| *seat == node) else {
            return Share::default();
        };
        let rank = i32::try_from(rank).unwrap_or(BUCKETS);
        let n_seats = i32::try_from(seats.len()).unwrap_or(i32::MAX);
        let (each, more) = (BUCKETS / n_seats, BUCKETS % n_seats);
        let n = each + i32::from(rank < more);
        Share {
            n: usize::try_from(n).unwrap_or(0),
            first: (rank * each + rank.min(more)) % BUCKETS,
        }
    }
}

impl Share {
    /// Every bucket but those `held`, in the order to try them.
    pub fn candidates(self, held: &[i32]) -> Vec<i32> {
        (0..BUCKETS).map(|n| (self.first + n) % BUCKETS).filter(|b| !held.contains(b)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(nodes: &[i32]) -> Vec<Share> {
        let seats = Seats(vec![(Kind::Sweep, nodes.to_vec())]);
        nodes.iter().map(|node| seats.share(Kind::Sweep, *node)).collect()
    }

    #[test]
    fn every_bucket_is_in_one_share_and_the_shares_are_even() {
        for n in 1..100 {
            let shares = shares(&(10..10 + n).collect::<Vec<_>>());
            let (most, fewest) =
                (shares.iter().map(|s| s.n).max(), shares.iter().map(|s| s.n).min());

            let mut buckets: Vec<i32> =
                shares.iter().flat_map(|s| s.candidates(&[]).into_iter().take(s.n)).collect();
            buckets.sort_unstable();

            assert_eq!(buckets, (0..BUCKETS).collect::<Vec<_>>(), "{n} workers");
            assert!(most.unwrap() - fewest.unwrap() <= 1, "{n} workers");
        }
    }

    #[test]
    fn a_worker_without_a_seat_has_no_share() {
        assert_eq!(Seats::default().share(Kind::Sweep, 3).n, 0);
        assert_eq!(Seats(vec![(Kind::Sweep, vec![4])]).share(Kind::Sweep, 3).n, 0);
    }
}
