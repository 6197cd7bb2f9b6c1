//! What other peers ask of this session through the edge: a file, or what is in a folder.
//!
//! The asker's `_reqId` comes with the question and goes with the answer. A client whose owner
//! shares nothing refuses by itself, at once.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use skein_wire::peer_files::{
    NOTHING_SHARED, PeerDirRequestForward, PeerDirResponse, PeerFileRequestForward,
    PeerFileResponse,
};
use skein_wire::{Envelope, encode};

use crate::shared::Shared;

/// A question of another peer.
#[derive(Debug)]
pub struct Question {
    /// The key of the session that asks.
    pub asker: String,
    /// What it asks for.
    pub what: What,
    req_id: Option<String>,
}

/// What is asked for, by its path.
#[derive(Debug)]
pub enum What {
    /// A file.
    File(String),
    /// What is in a folder, and which names of it.
    Dir(String, Option<String>),
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The whole frame.
    pub frame: String,
    /// What it comes to, for a log: bytes or entries, or why there is nothing.
    pub outcome: Result<usize, String>,
}

impl Question {
    /// Reads a frame of the edge, if it is a question.
    pub fn read(kind: &str, text: &str) -> Option<Self> {
        let (asker, what) = match kind {
            "peer_file_request_forward" => {
                let ask: PeerFileRequestForward = serde_json::from_str(text).ok()?;
                (ask.requester_pubkey, What::File(ask.file_path))
            }
            "peer_dir_request_forward" => {
                let ask: PeerDirRequestForward = serde_json::from_str(text).ok()?;
                (ask.requester_pubkey, What::Dir(ask.dir_path, ask.pattern))
            }
            _ => return None,
        };
        Some(Self { asker, what, req_id: Envelope::peek(text).ok()?.req_id })
    }

    /// Answers from what is shared, if anything is. It reads the disk.
    pub fn answer(self, shared: Option<&Shared>) -> Answer {
        let nothing = || NOTHING_SHARED.to_owned();
        let (asker, req_id) = (self.asker, self.req_id.as_deref());
        match self.what {
            What::File(path) => {
                let read = shared.ok_or_else(nothing).and_then(|shared| shared.read(&path));
                let outcome = read.as_ref().map(Vec::len).map_err(Clone::clone);
                let (content, error) = apart(read.map(|bytes| STANDARD.encode(bytes)));
                let answer =
                    PeerFileResponse { requester_pubkey: asker, file_path: path, content, error };
                Answer { frame: encode(&answer, req_id), outcome }
            }
            What::Dir(path, pattern) => {
                let listed =
                    shared.ok_or_else(nothing).and_then(|s| s.list(&path, pattern.as_deref()));
                let outcome = listed.as_ref().map(Vec::len).map_err(Clone::clone);
                let (entries, error) = apart(listed);
                let answer =
                    PeerDirResponse { requester_pubkey: asker, dir_path: path, entries, error };
                Answer { frame: encode(&answer, req_id), outcome }
            }
        }
    }
}

fn apart<T>(outcome: Result<T, String>) -> (Option<T>, Option<String>) {
    match outcome {
        Ok(it) => (Some(it), None),
        Err(why) => (None, Some(why)),
    }
}
