//! `POST /hook/set-status`: a host's hook says what its session is doing.
//!
//! The reference authenticates nobody here, so the route answers only where `SKEIN_LEGACY=hooks`
//! asks for it; our own hook speaks over its session's socket.

use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    sync::Arc,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use metrics::counter;
use openapi::{
    hook::{SetStatus, StatusSet},
    join::NotOk,
};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};
use serde_json::Value;
use skein_openapi as openapi;
use skein_wire::limit;

use super::{
    Tag,
    fault::code_of,
    legacy::{Plain, Sent},
};
use crate::{Edge, HookInput, HookOutcome};

/// The route, and how fast each session calls it.
#[derive(Debug)]
pub struct HookRoute {
    rates: DefaultKeyedRateLimiter<u64>,
    /// Folders are long; a keyed hash of them is not, and nobody can aim at another's.
    hasher: RandomState,
}

/// The answer.
#[derive(Debug, ApiResponse)]
pub enum Reply {
    /// Done, kept for a session that is about to come, or (with `error`) a field is missing.
    #[oai(status = 200)]
    Ok(Plain<StatusSet>),
    /// This deployment does not serve hooks over HTTP.
    #[oai(status = 403)]
    Off(Plain<NotOk>),
    /// The body is over 65,536 bytes.
    #[oai(status = 413)]
    TooLarge(Plain<NotOk>),
    /// More than thirty a minute for one process and folder.
    #[oai(status = 429)]
    Limited(Plain<NotOk>),
    /// The body is not JSON, the status is no status, or we failed.
    #[oai(status = 500)]
    Failed(Plain<NotOk>),
}

impl HookRoute {
    /// The route, for this many calls a minute of one process and folder.
    pub fn new(per_minute: NonZeroU32) -> Self {
        let rates = RateLimiter::keyed(Quota::per_minute(per_minute));
        Self { rates, hasher: RandomState::new() }
    }

    fn is_limited(&self, pid: i64, cwd: &str) -> bool {
        if self.rates.len() >= limit::HOOK_RATES_MAX {
            self.rates.retain_recent();
            if self.rates.len() >= limit::HOOK_RATES_MAX {
                return true;
            }
        }
        self.rates.check_key(&self.hasher.hash_one((pid, cwd))).is_err()
    }
}

#[OpenApi(tag = "Tag::Legacy")]
impl HookRoute {
    /// Says what a session is doing. Unauthenticated, and therefore off unless the deployment sets
    /// `SKEIN_LEGACY=hooks`.
    #[oai(path = "/hook/set-status", method = "post", operation_id = "setStatus")]
    async fn set_status(&self, edge: Data<&Arc<Edge>>, sent: Sent<SetStatus>) -> Reply {
        counter!("broker_hook_requests_total").increment(1);
        if !edge.config.legacy_hooks {
            return Reply::Off(Plain(NotOk::new(
                "status hooks over HTTP are off; SKEIN_LEGACY=hooks enables them",
            )));
        }
        let value = match sent {
            Sent::Json(value, _) => value,
            Sent::TooLarge => return Reply::TooLarge(Plain(NotOk::new("payload too large"))),
            Sent::Unreadable(why) => return Reply::Failed(Plain(NotOk::new(why))),
        };
        let text = |name| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let pid = value.get("pid").and_then(Value::as_i64);
        if self.is_limited(pid.unwrap_or(0), text("cwd").unwrap_or_default()) {
            counter!("broker_hook_requests_rate_limited_total").increment(1);
            return Reply::Limited(Plain(NotOk::new("rate limited")));
        }
        let (Some(cwd), Some(status)) = (text("cwd"), text("status")) else {
            return Reply::Ok(Plain(set(false, None, Some("cwd and status required"))));
        };
        if !["idle", "working", "dnd"].contains(&status) || cwd.contains('\0') {
            return Reply::Failed(Plain(NotOk::new("status is none of idle, working, dnd")));
        }
        let input = HookInput {
            cwd: cwd.to_owned(),
            pid,
            status: status.to_owned(),
            session_id: text("session_id").map(str::to_owned),
        };
        match edge.hook_status(input).await {
            Ok(HookOutcome::Matched(presence)) => Reply::Ok(Plain(set(true, Some(presence), None))),
            Ok(HookOutcome::Pending) => Reply::Ok(Plain(set(true, None, None))),
            Err(failed) => Reply::Failed(Plain(NotOk::new(code_of(&failed).message()))),
        }
    }
}

fn set(ok: bool, presence_id: Option<String>, error: Option<&str>) -> StatusSet {
    let pending = (ok && presence_id.is_none()).then_some(true);
    StatusSet { ok, presence_id, pending, error: error.map(str::to_owned) }
}
