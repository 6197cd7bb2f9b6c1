//! The last ids that were seen, for clients without an inbox on disk.

use std::collections::{HashSet, VecDeque};

use skein_crypto::message_id;

/// Ids that are remembered: more than a server keeps unsettled for one session and its mail.
const IDS_MAX: usize = 65_536;

/// An id as it is remembered: a server may send ids of any length, and they must not add up.
type Hash = [u8; 16];

/// A bounded set; the oldest goes first.
#[derive(Debug, Default)]
pub struct Recent {
    ids: HashSet<Hash>,
    oldest_first: VecDeque<Hash>,
}

impl Recent {
    /// Notes an id; false when it was there.
    pub fn note(&mut self, id: &str) -> bool {
        let id = message_id::body_hash(id, "", "", "");
        if !self.ids.insert(id) {
            return false;
        }
        self.oldest_first.push_back(id);
        if self.oldest_first.len() > IDS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ids_are_known_however_long_they_are() {
        let mut recent = Recent::default();
        let long = "x".repeat(1024 * 1024);

        assert!(recent.note(&long) && recent.note(&(long.clone() + "y")));
        assert!(!recent.note(&long));
        for n in 0..IDS_MAX {
            assert!(recent.note(&n.to_string()));
        }

        assert_eq!((recent.ids.len(), recent.oldest_first.len()), (IDS_MAX, IDS_MAX));
        assert!(recent.note(&long), "the oldest is forgotten");
    }
}
