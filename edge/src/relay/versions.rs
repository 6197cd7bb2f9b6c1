//! The newest version of everything that was pushed lately, so that nothing older comes after it.
//!
//! Two tables take turns: when the younger one is full the older one is forgotten, so what was
//! pushed a moment ago is always known.

use std::collections::HashMap;

/// Keys in one of the two tables.
const KEYS_MAX: usize = 50_000;

type Table = HashMap<(i64, String), i64>;

/// The newest versions, by mesh and key.
#[derive(Debug, Default)]
pub struct Versions {
    young: Table,
    old: Table,
}

impl Versions {
    /// Notes a version; `false`: one as new was noted before.
    pub fn is_newer(&mut self, mesh: i64, key: &str, version: i64) -> bool {
        let key = (mesh, key.to_owned());
        let known = self.young.get(&key).or_else(|| self.old.get(&key));
        if known.is_some_and(|known| *known >= version) {
            return false;
        }
        if self.young.len() >= KEYS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, version);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_newer_is_known_also_after_many_others() {
        let mut versions = Versions::default();
        assert!(versions.is_newer(1, "a", 5));
        for n in 0..KEYS_MAX {
            assert!(versions.is_newer(2, &n.to_string(), 1));
        }
        assert!(!versions.is_newer(1, "a", 5));
        assert!(!versions.is_newer(1, "a", 4));
        assert!(versions.is_newer(1, "a", 6));
        assert!(versions.is_newer(3, "a", 1), "another mesh has its own");
        assert!(versions.young.len() + versions.old.len() <= 2 * KEYS_MAX);
    }
}
