//! A batch of messages as columns.

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Begun, NewMessage};

/// The batch as columns, for `unnest`.
#[derive(Default)]
pub(super) struct Columns<'a> {
    seqs: Vec<i64>,
    meshes: Vec<i64>,
    ids: Vec<Uuid>,
    senders: Vec<i64>,
    sender_keys: Vec<&'a str>,
    targets: Vec<&'a str>,
    priorities: Vec<i16>,
    nonces: Vec<&'a str>,
    ciphertexts: Vec<&'a str>,
    kinds: Vec<i16>,
    subtypes: Vec<Option<&'a str>>,
    d_seqs: Vec<i64>,
    d_recipients: Vec<i64>,
    d_meshes: Vec<i64>,
    d_nodes: Vec<i32>,
    d_classes: Vec<i16>,
    d_bytes: Vec<i32>,
    pub(super) key_ids: Vec<Uuid>,
    pub(super) hashes: Vec<&'a [u8]>,
    pub(super) key_seqs: Vec<i64>,
    pub(super) key_ats: Vec<Timestamp>,
}

impl<'a> Columns<'a> {
    pub(super) fn of_messages<'b>(&'b self, at: &'b Timestamp) -> [&'b (dyn ToSql + Sync); 12] {
        [
            &self.seqs,
            &self.meshes,
            &self.ids,
            &self.senders,
            &self.sender_keys,
            &self.targets,
            &self.priorities,
            &self.nonces,
            &self.ciphertexts,
            &self.kinds,
            &self.subtypes,
            at,
        ]
    }

    pub(super) fn of_deliveries<'b>(&'b self, at: &'b Timestamp) -> [&'b (dyn ToSql + Sync); 7] {
        [
            &self.d_seqs,
            &self.d_recipients,
            &self.d_meshes,
            &self.d_nodes,
            &self.d_classes,
            &self.d_bytes,
            at,
        ]
    }

    pub(super) fn of(begun: &Begun, messages: &[NewMessage<'a>]) -> Self {
        let mut c = Self::default();
        let mut keys = Vec::new();
        for m in messages {
            c.seqs.push(m.seq);
            c.meshes.push(m.mesh);
            c.ids.push(m.message_id);
            c.senders.push(m.sender);
            c.sender_keys.push(m.sender_key);
            c.targets.push(m.target);
            c.priorities.push(m.priority);
            c.nonces.push(m.nonce);
            c.ciphertexts.push(m.ciphertext);
            c.kinds.push(i16::from(m.recipient.is_none()));
            c.subtypes.push(m.subtype);
            if let Some((recipient, node)) = m.recipient {
                c.d_seqs.push(m.seq);
                c.d_recipients.push(recipient);
                c.d_meshes.push(m.mesh);
                c.d_nodes.push(node);
                c.d_classes.push(m.priority.min(1));
                let bytes = m.nonce.len() + m.ciphertext.len();
                c.d_bytes.push(i32::try_from(bytes).unwrap_or(i32::MAX));
            }
            if let Some(hash) = m.body_hash {
                keys.push((m.message_id, hash, m.seq));
            }
        }
        // Two batches that insert the same keys in different orders would wait for each other.
        keys.sort_unstable_by_key(|k| k.0);
        for (id, hash, seq) in keys {
            c.key_ids.push(id);
            c.hashes.push(hash);
            c.key_seqs.push(seq);
            c.key_ats.push(begun.at);
        }
        c
    }
}
