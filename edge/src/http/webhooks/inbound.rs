//! `POST /hook/<mesh>/<secret>`: a program outside the mesh says something into it.
//!
//! The reference's shapes, statuses and order: the body is read before the secret is looked at. A
//! signed webhook's path ends with its id, and the three headers of Standard Webhooks say whether
//! the post is its sender's, of now, and not taken before.

use std::{num::NonZeroU32, sync::Arc};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use metrics::counter;
use openapi::{join::NotOk, webhooks::Taken};
use poem::{Request, http::Method, web::Data};
use poem_openapi::{ApiResponse, OpenApi, param::Path};
use serde_json::Value;
use sha2::{Digest, Sha256};
use skein_crypto::{
    plain,
    webhook::{self, ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER},
};
use skein_openapi as openapi;
use skein_sql::webhooks::{self, Webhook};
use skein_wire::{
    Code, Priority, limit,
    webhooks::{EVERYBODY, SENDER},
};
use uuid::Uuid;

use super::super::{
    Tag,
    fault::code_of,
    legacy::{Plain, Raw},
};
use crate::{
    Edge,
    posting::{self, Beside, Post, Posted},
    writer::Target,
};

/// Said of what is our fault; nothing was stored.
const FAILED: &str = "internal error";

/// The route, and how fast each webhook is posted to.
#[derive(Debug)]
pub struct WebhookRoute {
    rates: DefaultKeyedRateLimiter<String>,
}

/// The answer.
#[derive(Debug, ApiResponse)]
pub enum Reply {
    /// It was taken. With a target it is stored, and waits for whoever is away.
    #[oai(status = 200)]
    Taken(Plain<Taken>),
    /// The body is not JSON, or neither an object nor an array.
    #[oai(status = 400)]
    Invalid(Plain<NotOk>),
    /// There is no such webhook, or the post is not signed as its webhook asks.
    #[oai(status = 401)]
    Unauthorized(Plain<NotOk>),
    /// The webhook's target is not in the mesh any more, or the webhook ended meanwhile.
    #[oai(status = 404)]
    Gone(Plain<NotOk>),
    /// A signed post of this id was taken before.
    #[oai(status = 409)]
    Replayed(Plain<NotOk>),
    /// The body is over 65,536 bytes.
    #[oai(status = 413)]
    TooLarge(Plain<NotOk>),
    /// More than 120 a minute for one webhook, or the target's mailbox is full.
    #[oai(status = 429)]
    Limited(Plain<NotOk>),
    /// We failed; where it is not known whether the post was stored, `error` says so.
    #[oai(status = 500)]
    Failed(Plain<NotOk>),
    /// Nothing was stored: this edge has too many posts on its way, or the database does not
    /// answer. Post again.
    #[oai(status = 503)]
    Unavailable(
        Plain<NotOk>,
        /// Seconds to wait before posting again.
        #[oai(header = "Retry-After")]
        u32,
    ),
}

/// The address of a post: what stands raw between the slashes, so that one spelling is good.
#[derive(Debug, Clone)]
pub struct Address {
    mesh_id: String,
    part: String,
}

impl Address {
    /// The address that a request is for. A query is part of the secret, as in the reference.
    pub fn of(request: &Request) -> Option<Self> {
        let target = request.uri().path_and_query()?.as_str();
        let (mesh_id, part) = target.strip_prefix("/hook/")?.split_once('/')?;
        let is_one = !mesh_id.is_empty() && !part.is_empty() && !part.contains('/');
        let is_posted = request.method() == Method::POST;
        (is_one && is_posted).then(|| Self { mesh_id: mesh_id.to_owned(), part: part.to_owned() })
    }
}

/// Why a post is not taken.
enum Refusal {
    Unauthorized(&'static str),
    Code(Code),
    /// Nothing was stored, for this reason.
    Unavailable(&'static str),
    Failed(&'static str),
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let said = |why: &str| Plain(NotOk::new(why));
        match refusal {
            Refusal::Unauthorized(why) => Self::Unauthorized(said(why)),
            Refusal::Code(Code::Replayed) => Self::Replayed(said("replayed")),
            Refusal::Code(Code::RateLimited) => Self::Limited(said("rate limited")),
            Refusal::Code(code @ (Code::UnknownTarget | Code::NotFound)) => {
                Self::Gone(said(code.message()))
            }
            Refusal::Code(code) => Self::Limited(said(code.message())),
            Refusal::Unavailable(why) => Self::Unavailable(said(why), limit::RETRY_AFTER_SECONDS),
            Refusal::Failed(why) => Self::Failed(said(why)),
        }
    }
}

impl From<posting::Error> for Refusal {
    fn from(error: posting::Error) -> Self {
        match error {
            posting::Error::Refused(code) => Self::Code(code),
            posting::Error::Busy => Self::Unavailable(posting::BUSY),
            posting::Error::Lost(error) | posting::Error::Sql(error) => error.into(),
            posting::Error::Unknown(error) => {
                code_of(&error);
                Self::Failed("internal error; it is not known whether this was stored")
            }
        }
    }
}

impl From<skein_sql::Error> for Refusal {
    /// What fails before a post is committed. The log has the reason.
    fn from(error: skein_sql::Error) -> Self {
        match code_of(&error) {
            Code::Unavailable => Self::Unavailable(posting::LOST),
            _ => Self::Failed(FAILED),
        }
    }
}

impl WebhookRoute {
    /// The route.
    pub fn new() -> Self {
        let per_minute = NonZeroU32::new(limit::WEBHOOK_POSTS_PER_MINUTE);
        let quota = Quota::per_minute(per_minute.unwrap_or(NonZeroU32::MIN));
        Self { rates: RateLimiter::keyed(quota) }
    }

    /// Only webhooks that are there come here, so that nobody fills the table with others.
    fn is_limited(&self, webhook: &Webhook) -> bool {
        if self.rates.len() >= limit::HOOK_RATES_MAX {
            self.rates.retain_recent();
        }
        self.rates.check_key(&webhook.id).is_err()
    }

    async fn take(
        &self,
        edge: &Edge,
        address: &Address,
        request: &Request,
        body: &str,
    ) -> Result<Taken, Refusal> {
        let hash: [u8; 32] = Sha256::digest(&address.part).into();
        let found = {
            let db = edge.pool.get().await.map_err(skein_sql::Error::from)?;
            webhooks::find(&db, &address.mesh_id, &hash).await?
        };
        let (mesh, webhook) = found.ok_or(Refusal::Unauthorized("unauthorized"))?;
        let node = edge.node();
        let once = match webhook.signed {
            true => {
                let secret = node.webhooks.open(&webhook).ok_or(Refusal::Failed(FAILED))?;
                Some(signed(&secret, request, body)?)
            }
            false => None,
        };
        if self.is_limited(&webhook) {
            return Err(Refusal::Code(Code::RateLimited));
        }
        let message_id = Uuid::new_v4();
        let Posted { online, .. } = posting::post(
            &node,
            &Post {
                mesh,
                sender: 0,
                sender_key: &format!("{SENDER}{}", webhook.name),
                target: &target(webhook.target.as_deref()),
                priority: Priority::Next,
                nonce: "",
                ciphertext: &plain::encode(body),
                message_id,
                body_hash: None,
                beside: once
                    .as_ref()
                    .map_or(Beside::Nothing, |hash| Beside::Once(&webhook.id, hash)),
            },
        )
        .await?;
        Ok(Taken {
            ok: true,
            delivered: i64::try_from(online).unwrap_or(i64::MAX),
            message_id: webhook.target.map(|_| message_id.simple().to_string()),
        })
    }
}

fn target(of: Option<&str>) -> Target {
    match of {
        None => Target::Multicast(EVERYBODY.to_owned()),
        Some(text) if text.starts_with(['*', '@']) => Target::Multicast(text.to_owned()),
        Some(key) => Target::Key(key.to_owned()),
    }
}

/// The hash of a signed post's id, if the post is its sender's and of now.
fn signed(secret: &str, request: &Request, body: &str) -> Result<[u8; 32], Refusal> {
    let [Some(id), Some(timestamp), Some(signatures)] =
        [ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER].map(|name| request.header(name))
    else {
        return Err(Refusal::Unauthorized(
            "this webhook takes signed posts: webhook-id, webhook-timestamp, webhook-signature",
        ));
    };
    let is_id = (1..=limit::ID_BYTES_MAX).contains(&id.len());
    let Some(timestamp) = timestamp.parse().ok().filter(|_| is_id) else {
        return Err(Refusal::Unauthorized("webhook-id or webhook-timestamp cannot be"));
    };
    let (now, skew) = (Timestamp::now().as_second(), limit::WEBHOOK_SKEW.as_secs());
    webhook::verify(secret, id, timestamp, body.as_bytes(), signatures, now, skew).map_err(
        |error| {
            Refusal::Unauthorized(match error {
                skein_crypto::Error::Expired => "signed more than five minutes from now",
                _ => "webhook-signature does not verify",
            })
        },
    )?;
    Ok(Sha256::digest(id).into())
}

#[OpenApi(tag = "Tag::Legacy")]
impl WebhookRoute {
    /// Gives something to a webhook. Signed webhooks also take the headers `webhook-id`,
    /// `webhook-timestamp` and `webhook-signature` (Standard Webhooks, `v1`).
    #[oai(path = "/hook/:mesh_id/:secret", method = "post", operation_id = "postToWebhook")]
    async fn post(
        &self,
        edge: Data<&Arc<Edge>>,
        address: Data<&Address>,
        request: &Request,
        #[oai(name = "mesh_id")] _mesh_id: Path<String>,
        #[oai(name = "secret")] _secret: Path<String>,
        sent: Raw<Value>,
    ) -> Reply {
        counter!("skein_webhook_posts_total").increment(1);
        let invalid = |why| Reply::Invalid(Plain(NotOk::new(why)));
        let body = match sent {
            Raw::TooLarge => return Reply::TooLarge(Plain(NotOk::new("payload too large"))),
            Raw::Unreadable => return invalid("invalid JSON"),
            Raw::Bytes(bytes, _) => String::from_utf8(bytes),
        };
        let Ok(body) = body else { return invalid("invalid JSON") };
        match serde_json::from_str::<Value>(&body) {
            Ok(Value::Object(_) | Value::Array(_)) => (),
            Ok(_) => return invalid("invalid JSON body"),
            Err(_) => return invalid("invalid JSON"),
        }
        // It stands deeper in the push, and readers of JSON end at 128 levels.
        if skein_wire::state::depth(&body) > limit::STATE_DEPTH_MAX {
            return invalid("JSON nested too deep");
        }
        match self.take(&edge, &address, request, &body).await {
            Ok(taken) => Reply::Taken(Plain(taken)),
            Err(refusal) => refusal.into(),
        }
    }
}
