//! Frames: how a message is read and a reply is written.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Code, audit, clock, contexts, escape, field, groups, limit, memory, mesh_info, messaging,
    peer_files, presence, profile, schedules, skills, state, stats, streams, tasks, watches,
    webhooks,
};

/// What every frame has: its `type`, and what its reply is matched by.
#[derive(Debug, Default)]
pub struct Envelope {
    /// The message's `type`.
    pub kind: String,
    /// `_reqId`, echoed in the reply. One that is not a string counts as absent.
    pub req_id: Option<String>,
    /// `id`, echoed by `ack` and by a failing send's `error`.
    pub id: Option<String>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, rename = "_reqId")]
    req_id: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// Why a frame is not a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// Which kind of fault: `invalid_json`, `unknown_type` or `invalid_message`.
    pub code: Code,
    /// What is wrong, with the field's name where there is one.
    pub detail: String,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for DecodeError {}

impl DecodeError {
    /// This fault, in words of bounded length: the parser quotes what it did not expect.
    fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        detail.truncate(detail.floor_char_boundary(limit::ERROR_DETAIL_BYTES_MAX));
        Self { code, detail }
    }
}

impl Envelope {
    /// Reads the envelope of a frame.
    ///
    /// # Errors
    /// `invalid_json` when the frame is not a JSON object or holds text that cannot be stored;
    /// `invalid_message` when it has no string `type`.
    pub fn peek(frame: &str) -> Result<Self, DecodeError> {
        // serde reads a struct from an array too, field by field.
        if !frame.trim_start().starts_with('{') {
            return Err(DecodeError::new(Code::InvalidJson, "a frame must be a JSON object"));
        }
        let head: Head<'_> = serde_json::from_str(frame)
            .map_err(|error| DecodeError::new(Code::InvalidJson, error.to_string()))?;
        if escape::has_unstorable(frame) {
            let detail = "text holds U+0000 or half of a surrogate pair";
            return Err(DecodeError::new(Code::InvalidJson, detail));
        }
        let Some(kind) = text(head.kind) else {
            return Err(DecodeError::new(Code::InvalidMessage, "`type` must be a string"));
        };
        Ok(Self { kind, req_id: text(head.req_id), id: text(head.id) })
    }
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str::<Cow<'_, str>>(raw?.get()).ok().map(Cow::into_owned)
}

/// A message that a peer sent after its hello.
#[derive(Debug, Clone)]
pub enum Message {
    /// Sends, and questions about them.
    Messaging(messaging::Request),
    /// Status, listing, visibility, summary.
    Presence(presence::Request),
    /// What a peer says of itself.
    Profile(profile::Request),
    /// Groups.
    Groups(groups::Request),
    /// Counters that a peer reports.
    Stats(stats::Request),
    /// Values under keys that a mesh shares.
    State(state::Request),
    /// What members share of their work.
    Contexts(contexts::Request),
    /// Instructions under names.
    Skills(skills::Request),
    /// Files of peers.
    PeerFiles(peer_files::Request),
    /// Streams.
    Streams(streams::Request),
    /// Texts that the mesh keeps.
    Memory(memory::Request),
    /// Pieces of work.
    Tasks(tasks::Request),
    /// The overview.
    MeshInfo(mesh_info::Request),
    /// The simulation clock.
    Clock(clock::Request),
    /// Addresses on the web that are looked at.
    Watches(watches::Request),
    /// Messages that are sent later.
    Schedules(schedules::Request),
    /// Webhooks.
    Webhooks(webhooks::Request),
    /// The audit log.
    Audit(audit::Request),
}

impl Message {
    /// Every `type` that [`Message::decode`] knows, in the order of the capabilities.
    pub fn types() -> impl Iterator<Item = &'static str> {
        [
            messaging::Request::TYPES,
            presence::Request::TYPES,
            profile::Request::TYPES,
            groups::Request::TYPES,
            stats::Request::TYPES,
            state::Request::TYPES,
            contexts::Request::TYPES,
            skills::Request::TYPES,
            peer_files::Request::TYPES,
            streams::Request::TYPES,
            memory::Request::TYPES,
            tasks::Request::TYPES,
            mesh_info::Request::TYPES,
            clock::Request::TYPES,
            watches::Request::TYPES,
            schedules::Request::TYPES,
            webhooks::Request::TYPES,
            audit::Request::TYPES,
        ]
        .into_iter()
        .flatten()
        .copied()
    }

    /// Reads the message of this `kind`.
    ///
    /// # Errors
    /// `unknown_type`, or `invalid_message` with the field named.
    pub fn decode(kind: &str, frame: &str) -> Result<Self, DecodeError> {
        let decoded = messaging::Request::decode(kind, frame)
            .map(|r| r.map(Self::Messaging))
            .or_else(|| presence::Request::decode(kind, frame).map(|r| r.map(Self::Presence)))
            .or_else(|| profile::Request::decode(kind, frame).map(|r| r.map(Self::Profile)))
            .or_else(|| groups::Request::decode(kind, frame).map(|r| r.map(Self::Groups)))
            .or_else(|| stats::Request::decode(kind, frame).map(|r| r.map(Self::Stats)))
            .or_else(|| state::Request::decode(kind, frame).map(|r| r.map(Self::State)))
            .or_else(|| contexts::Request::decode(kind, frame).map(|r| r.map(Self::Contexts)))
            .or_else(|| skills::Request::decode(kind, frame).map(|r| r.map(Self::Skills)))
            .or_else(|| peer_files::Request::decode(kind, frame).map(|r| r.map(Self::PeerFiles)))
            .or_else(|| streams::Request::decode(kind, frame).map(|r| r.map(Self::Streams)))
            .or_else(|| memory::Request::decode(kind, frame).map(|r| r.map(Self::Memory)))
            .or_else(|| tasks::Request::decode(kind, frame).map(|r| r.map(Self::Tasks)))
            .or_else(|| mesh_info::Request::decode(kind, frame).map(|r| r.map(Self::MeshInfo)))
            .or_else(|| clock::Request::decode(kind, frame).map(|r| r.map(Self::Clock)))
            .or_else(|| watches::Request::decode(kind, frame).map(|r| r.map(Self::Watches)))
            .or_else(|| schedules::Request::decode(kind, frame).map(|r| r.map(Self::Schedules)))
            .or_else(|| webhooks::Request::decode(kind, frame).map(|r| r.map(Self::Webhooks)))
            .or_else(|| audit::Request::decode(kind, frame).map(|r| r.map(Self::Audit)));
        match decoded {
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => {
                let detail = match field::of(frame, &error) {
                    Some(field) => format!("{kind}: `{field}`: {error}"),
                    None => format!("{kind}: {error}"),
                };
                Err(DecodeError::new(Code::InvalidMessage, detail))
            }
            None => {
                let detail = format!("no message has the type `{kind}`");
                Err(DecodeError::new(Code::UnknownType, detail))
            }
        }
    }

    /// The message's `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Messaging(request) => request.kind(),
            Self::Presence(request) => request.kind(),
            Self::Profile(request) => request.kind(),
            Self::Groups(request) => request.kind(),
            Self::Stats(request) => request.kind(),
            Self::State(request) => request.kind(),
            Self::Contexts(request) => request.kind(),
            Self::Skills(request) => request.kind(),
            Self::PeerFiles(request) => request.kind(),
            Self::Streams(request) => request.kind(),
            Self::Memory(request) => request.kind(),
            Self::Tasks(request) => request.kind(),
            Self::MeshInfo(request) => request.kind(),
            Self::Clock(request) => request.kind(),
            Self::Watches(request) => request.kind(),
            Self::Schedules(request) => request.kind(),
            Self::Webhooks(request) => request.kind(),
            Self::Audit(request) => request.kind(),
        }
    }
}

/// Writes a frame: the object that `body` makes, with `_reqId` where the request had one.
///
/// `body` must serialize to a JSON object; every struct of this crate that is sent does.
pub fn encode(body: &impl Serialize, req_id: Option<&str>) -> String {
    let mut frame = serde_json::to_string(body).expect("wire structs have string keys only");
    debug_assert!(frame.starts_with('{') && frame.len() > 2, "a frame is an object with a type");
    if let Some(req_id) = req_id {
        frame.pop();
        frame.push_str(",\"_reqId\":");
        frame.push_str(&serde_json::to_string(req_id).expect("a string always encodes"));
        frame.push('}');
    }
    frame
}
