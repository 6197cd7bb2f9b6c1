//! The recorded frames of `tests/golden`, one file a message type.
//!
//! Every type goes one way only: `from` says whether a `peer` or an `edge` sends it. `minimal` is
//! the frame as the reference's client or broker sends it, `full` has our extensions too; a file
//! may hold more, by name.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::Value;
use skein_wire::{
    Call, Envelope, Message, Refusal, encode,
    groups::{self, JoinGroup, LeaveGroup},
    hello::{Hello, HelloAck},
    messaging::{self, Ack, MessageStatus, MessageStatusResult, Received},
    presence::{self, ListPeers, PeersList, SetStatus, SetSummary, SetVisible},
    profile::{self, SetProfile},
    push::Push,
    stats::{self, SetStats},
};

/// Who sends a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// A client.
    Peer,
    /// Us, or the reference's broker.
    Edge,
}

/// The recorded frames of one message type.
#[derive(Debug, Deserialize)]
pub struct Golden {
    /// The type, which is the file's name.
    #[serde(skip)]
    pub kind: String,
    /// Who sends it.
    pub from: Sender,
    /// The frames by name.
    pub frames: BTreeMap<String, Value>,
}

/// Every file, by type.
pub fn all() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut all: Vec<Golden> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let kind = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let golden = serde_json::from_str(&text);
            Golden { kind, ..golden.unwrap_or_else(|error| panic!("{}: {error}", path.display())) }
        })
        .collect();
    all.sort_by(|a, b| a.kind.cmp(&b.kind));
    all
}

/// Every frame, with its type, its sender and `type/name` to speak of it.
pub fn frames() -> Vec<(String, Sender, String, Value)> {
    let named = |golden: Golden| {
        let Golden { kind, from, frames } = golden;
        frames.into_iter().map(move |(name, frame)| {
            let label = format!("{kind}/{name}");
            (kind.clone(), from, label, frame)
        })
    };
    all().into_iter().flat_map(named).collect()
}

/// Reads `frame` as its receiver does, and writes it again as its sender does.
///
/// # Errors
/// What the receiver says of a frame that it does not take.
pub fn rewrite(from: Sender, frame: &str) -> Result<String, String> {
    let envelope = Envelope::peek(frame).map_err(|error| error.to_string())?;
    let req_id = envelope.req_id.as_deref();
    match (from, envelope.kind.as_str()) {
        (Sender::Peer, skein_wire::hello::TYPE) => reply::<Hello>(frame, req_id),
        (Sender::Peer, kind) => {
            let message = Message::decode(kind, frame).map_err(|error| error.to_string())?;
            Ok(write(&message, req_id))
        }
        (Sender::Edge, "hello_ack") => reply::<HelloAck>(frame, req_id),
        (Sender::Edge, "ack") => reply::<Ack>(frame, req_id),
        (Sender::Edge, "error") => reply::<Refusal>(frame, req_id),
        (Sender::Edge, "push") => reply::<Push>(frame, req_id),
        (Sender::Edge, "message_status_result") => reply::<MessageStatusResult>(frame, req_id),
        (Sender::Edge, "peers_list") => reply::<PeersList>(frame, req_id),
        (Sender::Edge, kind) => Err(format!("no edge sends `{kind}`")),
    }
}

fn reply<T>(frame: &str, req_id: Option<&str>) -> Result<String, String>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let body: T = serde_json::from_str(frame).map_err(|error| error.to_string())?;
    Ok(encode(&body, req_id))
}

/// The frame of a decoded message. Exhaustive, so that a new call cannot be forgotten here.
pub fn write(message: &Message, req_id: Option<&str>) -> String {
    fn call<C: Call>(call: &C, req_id: Option<&str>) -> String {
        let frame = encode(call, req_id);
        assert_eq!(Envelope::peek(&frame).unwrap().kind, C::TYPE, "the table and the struct agree");
        frame
    }
    match message {
        Message::Messaging(messaging::Request::Send(body)) => call::<messaging::Send>(body, req_id),
        Message::Messaging(messaging::Request::MessageStatus(body)) => {
            call::<MessageStatus>(body, req_id)
        }
        Message::Messaging(messaging::Request::Received(body)) => call::<Received>(body, req_id),
        Message::Presence(presence::Request::SetStatus(body)) => call::<SetStatus>(body, req_id),
        Message::Presence(presence::Request::ListPeers(body)) => call::<ListPeers>(body, req_id),
        Message::Presence(presence::Request::SetSummary(body)) => call::<SetSummary>(body, req_id),
        Message::Presence(presence::Request::SetVisible(body)) => call::<SetVisible>(body, req_id),
        Message::Profile(profile::Request::SetProfile(body)) => call::<SetProfile>(body, req_id),
        Message::Groups(groups::Request::JoinGroup(body)) => call::<JoinGroup>(body, req_id),
        Message::Groups(groups::Request::LeaveGroup(body)) => call::<LeaveGroup>(body, req_id),
        Message::Stats(stats::Request::SetStats(body)) => call::<SetStats>(body, req_id),
    }
}
