//! The last ids that were seen, for clients without an inbox on disk.

use std::collections::{HashSet, VecDeque};

/// Ids that are remembered: more than a server keeps unsettled for one session and its mail.
const IDS_MAX: usize = 65_536;

/// A bounded set; the oldest goes first.
#[derive(Debug, Default)]
pub struct Recent {
    ids: HashSet<String>,
    oldest_first: VecDeque<String>,
}

impl Recent {
    /// Notes an id; false when it was there.
    pub fn note(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.oldest_first.push_back(id.to_owned());
        if self.oldest_first.len() > IDS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}
