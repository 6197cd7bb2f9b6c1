//! What is decided about a peer's messages: one file a capability, one arm a capability here.
//!
//! Who gets a reply (design 5): a peer with cap `replies` gets one to every message. Another peer
//! gets exactly what the contract says, which for many messages is nothing, not even an error: an
//! old client would take a stray one for the answer to its oldest question.

pub mod audit;
pub mod clock;
pub mod contexts;
pub mod groups;
pub mod memory;
pub mod mesh_info;
pub mod messaging;
pub mod peer_files;
pub mod presence;
pub mod profile;
pub mod schedules;
pub mod skills;
pub mod state;
pub mod stats;
pub mod streams;
pub mod tasks;
pub mod watches;
pub mod webhooks;

use std::sync::Arc;

use serde::Serialize;
use skein_wire::{
    Call, Code, DecodeError, Envelope, Message, Refusal, hello, limit, messaging::Ack,
};
use tracing::error;

use crate::{measure, node::Node, session::Session};

/// A message that could not be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// We said no. The peer is told the code and these words.
    #[error("refused: {1}")]
    Refused(Code, String),

    /// The database failed. The peer learns only that; the log has the chain.
    #[error("database")]
    Sql(#[from] skein_sql::Error),
}

impl From<Code> for Error {
    fn from(code: Code) -> Self {
        Self::Refused(code, code.message().to_owned())
    }
}

impl Error {
    /// What the peer is told.
    fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(code, message) => Refusal::with(*code, message.clone()),
            Self::Sql(error) if error.is_connection() => Refusal::new(Code::Unavailable),
            Self::Sql(_) => Refusal::new(Code::Internal),
        }
    }
}

/// What serving a message returns: its reply, or `None` where the contract has none.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One message, its sender and its node.
pub struct Context<'a> {
    /// The node that serves it.
    pub node: &'a Arc<Node>,
    /// Who sent it.
    pub session: &'a Arc<Session>,
    /// What its reply is matched by.
    pub req_id: Option<&'a str>,
}

impl Context<'_> {
    /// A connection to the database.
    pub async fn db(&self) -> Result<skein_sql::Db> {
        Ok(self.node.pool.get().await.map_err(skein_sql::Error::from)?)
    }

    /// The reply of a call; its type is the one that the call's table names.
    pub fn reply<C: Call>(&self, reply: &C::Reply) -> Option<String>
    where
        C::Reply: Serialize,
    {
        Some(skein_wire::encode(reply, self.req_id))
    }

    /// Fails when the attachment that this came over was replaced.
    pub fn current(&self, changed: bool) -> Result<()> {
        if changed { Ok(()) } else { Err(Code::Superseded.into()) }
    }
}

/// Messages that the contract never answers, or acknowledges only when they succeed: their failure
/// is no error to an old client either.
const SILENT: &[&str] = &[
    "set_status",
    "set_summary",
    "set_visible",
    "set_profile",
    "set_stats",
    "join_group",
    "leave_group",
    "set_state",
    "delete_state",
    "share_context",
    "received",
    "publish",
    "unsubscribe",
];

/// Questions to another peer, or to another server, answered when that has answered.
const ANSWERED_LATER: &[&str] = &["peer_file_request", "peer_dir_request", "watch_test"];

/// Answers to another peer. Their `_reqId` is that peer's, and names nothing of the sender's.
const ANSWERS: &[&str] = &["peer_file_response", "peer_dir_response"];

/// Messages that the 0.8.9 client sends without `_reqId` when it waits for nothing: then it is told
/// nothing, not even a failure.
const SILENT_UNASKED: &[&str] = &["claim_task", "complete_task", "forget"];

/// Serves one frame of an attached session.
pub async fn serve(node: &Arc<Node>, session: &Arc<Session>, frame: &str) {
    let (envelope, message) = match Envelope::peek(frame) {
        Err(error) => (Envelope::default(), Err(error)),
        Ok(envelope) if envelope.kind == hello::TYPE => {
            let detail = "this socket has said hello; open another".to_owned();
            (envelope, Err(DecodeError { code: Code::InvalidMessage, detail }))
        }
        Ok(envelope) if is_long(envelope.req_id.as_ref()) => {
            let detail = format!("`_reqId` is over {} bytes", limit::ID_BYTES_MAX);
            let envelope = Envelope { req_id: None, ..envelope };
            (envelope, Err(DecodeError { code: Code::TooLarge, detail }))
        }
        Ok(envelope) => {
            let message = Message::decode(&envelope.kind, frame);
            (envelope, message)
        }
    };
    let req_id = envelope.req_id.as_deref();
    let ctx = Context { node, session, req_id };
    let is_send = envelope.kind == "send";
    let served = match message {
        Err(error) => {
            measure::unserved();
            if !session.caps.replies || ANSWERS.contains(&envelope.kind.as_str()) {
                return;
            }
            Err(Error::Refused(error.code, error.detail))
        }
        Ok(message) => {
            if !is_send && envelope.kind != "received" {
                // Frames take effect in order: what was sent before is stored first.
                session.pending.wait().await;
            }
            route(&ctx, message, envelope.id.as_deref()).await
        }
    };
    match served {
        Ok(Some(reply)) => session.out.frame(reply),
        Ok(None) => {
            // A send is answered when it is stored; `received` only if it asks.
            let is_word = envelope.kind == "received" && req_id.is_none();
            let kind = envelope.kind.as_str();
            let is_relayed = ANSWERED_LATER.contains(&kind) || ANSWERS.contains(&kind);
            if session.caps.replies && !is_send && !is_word && !is_relayed {
                session.out.frame(skein_wire::encode(&Ack::of_request(req_id), req_id));
            }
        }
        Err(error) => fail(&ctx, &envelope, &error),
    }
}

fn is_long(id: Option<&String>) -> bool {
    id.is_some_and(|id| id.len() > limit::ID_BYTES_MAX)
}

fn fail(ctx: &Context<'_>, envelope: &Envelope, error: &Error) {
    if let Error::Sql(cause) = error {
        error!(error = cause.brief(), kind = %envelope.kind, "a message could not be served");
        measure::unserved();
    }
    let mut refusal = error.refusal();
    if envelope.kind == "send" {
        refusal = refusal.of_send(envelope.id.as_deref().unwrap_or_default());
    } else if !ctx.session.caps.replies {
        // The contract has no word for a failure of ours either.
        let is_ours = matches!(error, Error::Sql(_));
        let kind = envelope.kind.as_str();
        let is_unasked = ctx.req_id.is_none() && SILENT_UNASKED.contains(&kind);
        if is_ours || is_unasked || SILENT.contains(&kind) {
            return;
        }
    }
    ctx.session.out.frame(skein_wire::encode(&refusal, ctx.req_id));
}

/// Serves a message, as [`serve`] does, without what a socket needs around it.
pub(crate) async fn route(
    ctx: &Context<'_>,
    message: Message,
    id: Option<&str>,
) -> Result<Option<String>> {
    match message {
        Message::Messaging(request) => messaging::handle(ctx, request, id).await,
        Message::Presence(request) => presence::handle(ctx, request).await,
        Message::Profile(request) => profile::handle(ctx, request).await,
        Message::Groups(request) => groups::handle(ctx, request).await,
        Message::Stats(request) => stats::handle(ctx, request).await,
        Message::State(request) => state::handle(ctx, request).await,
        Message::Contexts(request) => contexts::handle(ctx, request).await,
        Message::Skills(request) => skills::handle(ctx, request).await,
        Message::PeerFiles(request) => peer_files::handle(ctx, request).await,
        Message::Streams(request) => streams::handle(ctx, request).await,
        Message::Memory(request) => memory::handle(ctx, request).await,
        Message::MeshInfo(request) => mesh_info::handle(ctx, request).await,
        Message::Clock(request) => clock::handle(ctx, request).await,
        Message::Tasks(request) => tasks::handle(ctx, request).await,
        Message::Watches(request) => watches::handle(ctx, request).await,
        Message::Schedules(request) => schedules::handle(ctx, request).await,
        Message::Webhooks(request) => webhooks::handle(ctx, request).await,
        Message::Audit(request) => audit::handle(ctx, request).await,
    }
}

/// Refuses tags that are too many or too long.
pub fn tags(tags: &[String]) -> Result<()> {
    if tags.len() > limit::TAGS_MAX {
        let why = format!("`tags` has {}, at most {}", tags.len(), limit::TAGS_MAX);
        return Err(Error::Refused(Code::TooLarge, why));
    }
    tags.iter().try_for_each(|tag| within("tags", tag.len(), limit::TAG_BYTES_MAX))
}

/// The first of these, as many as fit one frame.
pub fn fitting<T: Serialize>(mut items: Vec<T>) -> Vec<T> {
    let mut n_bytes = 0;
    let fit = items.iter().take_while(|item| {
        n_bytes += serde_json::to_string(item).map_or(0, |text| text.len() + 1);
        n_bytes <= limit::LIST_BYTES_MAX
    });
    let n_fit = fit.count();
    items.truncate(n_fit);
    items
}

/// Refuses a field that is over its limit, by its name.
pub fn within(field: &str, n_bytes: usize, max: usize) -> Result<()> {
    if n_bytes <= max {
        return Ok(());
    }
    Err(Error::Refused(Code::TooLarge, format!("`{field}` is {n_bytes} bytes, at most {max}")))
}
