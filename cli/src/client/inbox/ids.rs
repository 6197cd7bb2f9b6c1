//! Which messages an inbox knows: for each segment, id and body of each message, hashed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use skein_crypto::message_id;

use super::log;
use crate::client::message::Message;
use crate::files;

/// An id's hash and a body's hash.
const RECORD_BYTES: usize = 32;

type Hash = [u8; 16];

/// Whether a message was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// No.
    Never,
    /// Yes, this very one.
    Same,
    /// Its id was, with another body.
    WithAnotherBody,
}

/// The ids of all segments that are kept.
#[derive(Debug, Default)]
pub struct Ids {
    segments: HashMap<u32, Segment>,
}

#[derive(Debug, Default)]
struct Segment {
    bodies: HashMap<Hash, Hash>,
    /// Further bodies under an id, of which there should be none.
    conflicts: Vec<(Hash, Hash)>,
}

impl Ids {
    /// Notes a message of `segment`, and says whether it, or its id, was known.
    pub fn note(&mut self, segment: u32, message: &Message) -> Seen {
        let id = message_id::body_hash(&message.mesh_id, &message.message_id, "", "");
        let body = message_id::body_hash(&message.body_hash, "", "", "");
        let seen = self.seen(&id, &body);
        if seen != Seen::Same {
            self.segments.entry(segment).or_default().insert(id, body);
        }
        seen
    }

    fn seen(&self, id: &Hash, body: &Hash) -> Seen {
        let mut seen = Seen::Never;
        for segment in self.segments.values() {
            match segment.bodies.get(id) {
                None => continue,
                Some(known) if known == body => return Seen::Same,
                Some(_) => seen = Seen::WithAnotherBody,
            }
            if segment.conflicts.contains(&(*id, *body)) {
                return Seen::Same;
            }
        }
        seen
    }

    /// Reads the ids of a finished segment; false when they must be read from its log.
    pub fn load(&mut self, dir: &Path, segment: u32) -> bool {
        let Ok(bytes) = fs::read(log::path(dir, segment, "ids")) else { return false };
        if bytes.len() % RECORD_BYTES != 0 {
            return false;
        }
        let known = self.segments.entry(segment).or_default();
        for record in bytes.chunks_exact(RECORD_BYTES) {
            let (id, body) = record.split_at(RECORD_BYTES / 2);
            let half = |half: &[u8]| half.try_into().expect("half a record is a hash");
            known.insert(half(id), half(body));
        }
        true
    }

    /// Writes the ids of a finished segment.
    pub fn save(&self, dir: &Path, segment: u32) -> io::Result<()> {
        let mut bytes = Vec::new();
        if let Some(known) = self.segments.get(&segment) {
            for (id, body) in known.bodies.iter().chain(known.conflicts.iter().map(|(a, b)| (a, b)))
            {
                bytes.extend_from_slice(id);
                bytes.extend_from_slice(body);
            }
        }
        files::write(&log::path(dir, segment, "ids"), &bytes)
    }

    /// Forgets a segment that is gone.
    pub fn forget(&mut self, segment: u32) {
        self.segments.remove(&segment);
    }
}

impl Segment {
    fn insert(&mut self, id: Hash, body: Hash) {
        match self.bodies.get(&id) {
            None => {
                self.bodies.insert(id, body);
            }
            Some(known) if *known == body => (),
            Some(_) => self.conflicts.push((id, body)),
        }
    }
}
