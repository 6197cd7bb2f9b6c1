//! The hash chain of the audit log.
//!
//! Every entry's hash is over the hash of the entry before it, so that whoever knows the last hash
//! knows whether any entry was changed, taken out, put in or moved.

use sha2::{Digest, Sha256};

/// What stands before the first entry.
pub const GENESIS: &str = "genesis";

/// The hash of an entry: SHA-256 in hex over
/// `<previous>|<meshId>|<eventType>|<actor>|<payload>|<createdAt>`. The payload is compact JSON in
/// the order of insertion.
pub fn hash(
    previous: &str,
    mesh_id: &str,
    event_type: &str,
    actor: &str,
    payload: &str,
    created_at: &str,
) -> String {
    let text = format!("{previous}|{mesh_id}|{event_type}|{actor}|{payload}|{created_at}");
    hex::encode(Sha256::digest(text))
}

/// SHA-256 in hex of a text that is too large for an entry.
pub fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// What an entry says, as the hash has it.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Its number.
    pub no: u64,
    /// What happened.
    pub event_type: &'a str,
    /// Who did it: an id, not a name.
    pub actor: &'a str,
    /// What it is about.
    pub payload: &'a str,
    /// When, ISO 8601 with milliseconds.
    pub created_at: &'a str,
    /// The hash that was written with it.
    pub hash: &'a str,
}

/// A chain up to some entry, as it is computed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    mesh_id: String,
    no: u64,
    hash: String,
}

impl Chain {
    /// The chain of a mesh before its first entry.
    pub fn start(mesh_id: &str) -> Self {
        Self::at(mesh_id, 0, GENESIS)
    }

    /// The chain of a mesh behind the entry of this number, which has this hash.
    pub fn at(mesh_id: &str, no: u64, hash: &str) -> Self {
        Self { mesh_id: mesh_id.to_owned(), no, hash: hash.to_owned() }
    }

    /// The number of the last entry.
    pub fn no(&self) -> u64 {
        self.no
    }

    /// The hash of the last entry.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Appends what happened; returns the hash to write with it.
    pub fn append(
        &mut self,
        event_type: &str,
        actor: &str,
        payload: &str,
        created_at: &str,
    ) -> &str {
        self.hash = hash(&self.hash, &self.mesh_id, event_type, actor, payload, created_at);
        self.no += 1;
        &self.hash
    }

    /// Takes the next entry that was written, if it is the next.
    ///
    /// # Errors
    /// The number at which the chain is broken: the entry is changed, or is not the one that belongs
    /// here. The chain stays where it was.
    pub fn take(&mut self, link: &Link<'_>) -> Result<(), u64> {
        let next = self.no + 1;
        let computed = hash(
            &self.hash,
            &self.mesh_id,
            link.event_type,
            link.actor,
            link.payload,
            link.created_at,
        );
        if link.no != next || link.hash != computed {
            return Err(next);
        }
        (self.no, self.hash) = (next, computed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number, payload and hash of the entries of a short chain.
    fn entries() -> Vec<(u64, String, String)> {
        let mut chain = Chain::start("m");
        let payloads = (1..=5).map(|n| format!(r#"{{"n":{n}}}"#));
        payloads
            .map(|payload| {
                let hash = chain.append("e", "a", &payload, "t").to_owned();
                (chain.no(), payload, hash)
            })
            .collect()
    }

    fn check(entries: &[(u64, String, String)]) -> Result<(), u64> {
        let mut chain = Chain::start("m");
        entries.iter().try_for_each(|(no, payload, hash)| {
            let (event_type, actor, created_at) = ("e", "a", "t");
            chain.take(&Link { no: *no, event_type, actor, payload, created_at, hash })
        })
    }

    #[test]
    fn what_was_appended_is_taken_again() {
        assert_eq!(check(&entries()), Ok(()));
    }

    #[test]
    fn an_entry_that_is_changed_missing_or_moved_is_named() {
        let mut changed = entries();
        changed[2].1 = "{}".into();
        let mut rehashed = entries();
        rehashed[2].2 = hash(&rehashed[1].2, "m", "e", "a", "{}", "t");
        rehashed[2].1 = "{}".into();
        let mut missing = entries();
        missing.remove(2);
        let mut renumbered = entries();
        renumbered.remove(2);
        renumbered[2].0 = 3;
        renumbered[3].0 = 4;
        let mut moved = entries();
        (moved[2].1, moved[3].1) = (moved[3].1.clone(), moved[2].1.clone());

        assert_eq!(check(&changed), Err(3));
        assert_eq!(check(&rehashed), Err(4), "the next one knows");
        assert_eq!(check(&missing), Err(3));
        assert_eq!(check(&renumbered), Err(3));
        assert_eq!(check(&moved), Err(3));
    }
}
