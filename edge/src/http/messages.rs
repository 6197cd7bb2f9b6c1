//! Messages of an API key: send, what waits, what was received, the history.
//!
//! A key has an address and no socket: what is sent to it waits in its mailbox until its holder
//! says that it has it, as a peer of ours does with `received`. Multicasts are for who is attached.

use std::{collections::HashMap, sync::Arc};

use openapi::{
    api_keys::Capability,
    messages::{Direction, Message, Messages, NewMessage, Priority, Received, Sent, Settled},
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use skein_crypto::{Public, message_id};
use skein_openapi as openapi;
use skein_sql::{Db, Error, api_keys, serve};
use skein_wire::{self as wire, Code};
use uuid::Uuid;

use super::{Body, Caller, Fault, Tag, db, fault::code_of};
use crate::{
    Edge,
    handlers::{self, messaging},
    posting::{self, Beside, Post},
};

/// Messages on one page.
const PAGE_MAX: usize = 100;
/// Bodies on one page, in bytes; at least one.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Bodies read at once.
const BODIES_MAX: usize = 8;

/// The routes of messages.
#[derive(Debug)]
pub struct MessageRoutes;

/// A message was stored.
#[derive(Debug, ApiResponse)]
pub enum Stored {
    /// Its id, and whom it is for. The same id and body again are answered the same.
    #[oai(status = 201)]
    Stored(Json<Sent>),
}

#[OpenApi(tag = "Tag::Messages")]
impl MessageRoutes {
    /// Sends a message as this API key. Takes `messages:send`.
    ///
    /// After an answer that did not come, or a 503, send it again with the same `id`: it is stored
    /// once.
    #[oai(path = "/v1/meshes/:mesh_id/messages", method = "post", operation_id = "sendMessage")]
    async fn send(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        new: Body<NewMessage>,
    ) -> Result<Stored, Fault> {
        let db = db(&edge).await?;
        let (mesh, key) = caller.key(&db, &mesh_id, Capability::MessagesSend).await?;
        drop(db);
        let target = messaging::target(&new.target).map_err(|error| match error {
            handlers::Error::Refused(code, message) => Fault::with(code, message),
            handlers::Error::Sql(error) => error.into(),
        })?;
        let public = Public::parse(&key.pubkey).map_err(|_| Fault::new(Code::Internal))?;
        let priority = match new.priority {
            Priority::Now => wire::Priority::Now,
            Priority::Next => wire::Priority::Next,
            Priority::Low => wire::Priority::Low,
        };
        let NewMessage { id, nonce, ciphertext, .. } = &new.0;
        let hash = message_id::body_hash(target.text(), priority.as_str(), nonce, ciphertext);
        let post = Post {
            mesh: mesh.no,
            sender: key.session,
            sender_key: &key.pubkey,
            target: &target,
            priority,
            nonce,
            ciphertext,
            message_id: Uuid::from_bytes(message_id::bytes_of(&mesh.id, &public, id)),
            body_hash: Some(hash),
            beside: Beside::ApiKey(&key.id),
        };
        let posted = posting::post(&edge.node(), &post).await.map_err(|error| match error {
            posting::Error::Refused(code) => Fault::new(code),
            posting::Error::Busy => again(posting::BUSY),
            posting::Error::Lost(error) => {
                code_of(&error);
                again(posting::LOST)
            }
            posting::Error::Unknown(error) => {
                code_of(&error);
                again("the database does not answer; it is not known whether this is stored")
            }
            posting::Error::Sql(error) => error.into(),
        })?;
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Ok(Stored::Stored(Json(Sent {
            message_id: post.message_id.simple().to_string(),
            recipients: count(posted.recipients),
            online: count(posted.online),
        })))
    }

    /// What this API key sent and received, newest first, as far back as messages are kept: two
    /// days. Takes `messages:read`.
    #[oai(path = "/v1/meshes/:mesh_id/messages", method = "get", operation_id = "listMessages")]
    async fn history(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        /// The `next` of the page before.
        #[oai(validator(pattern = "^[0-9]{1,18}-(sent|received)$"))]
        after: Query<Option<String>>,
    ) -> Result<Json<Messages>, Fault> {
        let db = db(&edge).await?;
        let (_, key) = caller.key(&db, &mesh_id, Capability::MessagesRead).await?;
        let before = after.as_deref().and_then(|text| text.split_once('-'));
        let before = before.and_then(|(seq, way)| Some((seq.parse().ok()?, way == "sent")));
        let found = api_keys::history(&db, &key, before, PAGE_MAX as i64 + 1).await?;
        let found = found.into_iter().map(|(seq, at, is_sent)| Head { seq, at, is_sent }).collect();
        Ok(Json(read(&db, found).await?))
    }

    /// What waits for this API key, oldest first. It waits until it is said to be received. Takes
    /// `messages:read`.
    #[oai(
        path = "/v1/meshes/:mesh_id/messages/waiting",
        method = "get",
        operation_id = "listWaitingMessages"
    )]
    async fn waiting(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
    ) -> Result<Json<Messages>, Fault> {
        let db = db(&edge).await?;
        let (_, key) = caller.key(&db, &mesh_id, Capability::MessagesRead).await?;
        let found = api_keys::waiting(&db, &key, PAGE_MAX as i64).await?;
        let found = found.into_iter().map(|(seq, at)| Head { seq, at, is_sent: false }).collect();
        let read = read(&db, found).await?;
        // What is received makes place for the rest: there is no other page.
        Ok(Json(Messages { next: None, ..read }))
    }

    /// Says that messages have arrived, so that they wait no longer. Takes `messages:read`.
    #[oai(
        path = "/v1/meshes/:mesh_id/messages/received",
        method = "post",
        operation_id = "receiveMessages"
    )]
    async fn received(
        &self,
        caller: Caller,
        edge: Data<&Arc<Edge>>,
        mesh_id: Path<String>,
        received: Body<Received>,
    ) -> Result<Json<Settled>, Fault> {
        let mut db = db(&edge).await?;
        let (_, key) = caller.key(&db, &mesh_id, Capability::MessagesRead).await?;
        let ids = received.message_ids.iter().filter_map(|id| Uuid::try_parse(id).ok());
        let ids: Vec<Uuid> = ids.collect();
        let tx = db.transaction().await.map_err(Error::from)?;
        let n = api_keys::settle(&tx, &key, &ids).await?;
        tx.commit().await.map_err(Error::from)?;
        Ok(Json(Settled { settled: i64::try_from(n).unwrap_or(i64::MAX) }))
    }
}

/// Refuses what may be sent again: under its `id` it is stored once.
fn again(why: &str) -> Fault {
    Fault::hinting(Code::Unavailable, why, "take the same `id` again")
}

/// A message before its body was read.
struct Head {
    seq: i64,
    at: jiff::Timestamp,
    is_sent: bool,
}

/// Reads the bodies of a page, as many as it may hold. What is gone is left out.
async fn read(db: &Db, found: Vec<Head>) -> Result<Messages, Fault> {
    let mut messages = Vec::new();
    let (mut n_bytes, mut last) = (0, None);
    let mut is_cut = found.len() > PAGE_MAX;
    'page: for heads in found[..found.len().min(PAGE_MAX)].chunks(BODIES_MAX) {
        let wanted: Vec<_> = heads.iter().map(|head| (head.seq, head.at)).collect();
        let bodies: HashMap<i64, serve::Body> =
            serve::bodies(db, &wanted).await?.into_iter().map(|body| (body.seq, body)).collect();
        for head in heads {
            let Some(body) = bodies.get(&head.seq) else { continue };
            n_bytes += body.nonce.len() + body.ciphertext.len();
            if n_bytes > PAGE_BYTES_MAX && !messages.is_empty() {
                is_cut = true;
                break 'page;
            }
            messages.push(message(head, body));
            last = Some((head.seq, head.is_sent));
        }
    }
    let next = last.filter(|_| is_cut).map(|(seq, is_sent)| {
        let way = if is_sent { "sent" } else { "received" };
        format!("{seq}-{way}")
    });
    Ok(Messages { messages, next })
}

fn message(head: &Head, body: &serve::Body) -> Message {
    Message {
        message_id: body.message_id.simple().to_string(),
        direction: if head.is_sent { Direction::Sent } else { Direction::Received },
        sender_pubkey: body.sender_key.clone(),
        target: body.target.clone(),
        priority: match body.priority {
            0 => Priority::Now,
            1 => Priority::Next,
            _ => Priority::Low,
        },
        nonce: body.nonce.clone(),
        ciphertext: body.ciphertext.clone(),
        created_at: skein_sql::iso(body.at),
    }
}
