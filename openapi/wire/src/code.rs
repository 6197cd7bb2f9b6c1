//! Error codes: programs read the code, people read the message. Both stand in this one table.

use serde::{Deserialize, Serialize};

use crate::state::Entry;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $code:literal $status:literal $message:literal,)+) => {
        /// Why something was refused, on the socket and over REST.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// What a person is told, where nothing more exact is known.
            pub fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)+ }
            }

            /// The HTTP status that carries it over REST.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }
        }
    };
}

codes! {
    /// A frame came before the hello.
    NoHello "no_hello" 401 "must send hello first",
    /// The mesh has as many sockets as it may.
    Capacity "capacity" 503 "mesh at connection capacity",
    /// The hello's timestamp is not a number, or too far from our clock.
    TimestampSkew "timestamp_skew" 401 "hello rejected: timestamp_skew",
    /// The hello's fields have the wrong form.
    Malformed "malformed" 400 "hello rejected: malformed",
    /// The hello's signature does not fit.
    BadSignature "bad_signature" 401 "hello rejected: bad_signature",
    /// The key is no member's, or the session key is another member's.
    Unauthorized "unauthorized" 401 "pubkey not found in mesh",
    /// This very hello was seen before.
    Replayed "replayed" 401 "hello rejected: replayed",
    /// The frame is not a JSON object.
    InvalidJson "invalid_json" 400 "frame is not a JSON object",
    /// No message has this type.
    UnknownType "unknown_type" 400 "no message has this type",
    /// A field is missing, has the wrong type, or is over its limit.
    InvalidMessage "invalid_message" 400 "message has a missing or wrong field",
    /// Nothing of that id is known here.
    NotFound "not_found" 404 "not found",
    /// The target is no key, group or `*` that this mesh knows.
    UnknownTarget "unknown_target" 404
        "no session or member has this key; list_peers shows who is here",
    /// The recipient's mailbox holds as much as it may.
    MailboxFull "mailbox_full" 429
        "the recipient's mailbox is full; send again when it has read some",
    /// The mesh holds as much unread mail as it may.
    MeshFull "mesh_full" 429
        "the mesh holds as much unread mail as it may; let its peers read some",
    /// The same id came before with another body.
    IdReused "id_reused" 409 "this id was used for another message; take a new one",
    /// The sender's presence was replaced or ended while the message waited; send it again.
    Superseded "superseded" 409 "the session moved while this was sent; send it again",
    /// The webhook has no name, or a name, target or number that cannot be.
    InvalidWebhook "invalid_webhook" 400 "name is required",
    /// The mesh has a webhook of this name.
    WebhookExists "webhook_exists" 409 "a webhook of this name exists in this mesh",
    /// The mesh remembers as much as it may.
    MemoryFull "memory_full" 429 "the mesh remembers as much as it may; forget something",
    /// The task is claimed, done, waiting for others, or not there.
    TaskNotClaimable "task_not_claimable" 409 "task is not open or does not exist",
    /// The mesh has no such task.
    TaskNotFound "task_not_found" 404 "task not found in this mesh",
    /// The task is not held by the caller, or its lease has ended.
    TaskNotHeld "task_not_held" 409 "you do not hold this task (any more)",
    /// The mesh has as many tasks as it may, and none of them is done.
    TasksFull "tasks_full" 429 "the mesh has as many tasks as it may; complete some",
    /// The key of the state has another version than the change is for.
    VersionMismatch "version_mismatch" 409 "the key has another version",
    /// The mesh has as many keys as it may.
    StateFull "state_full" 429 "the mesh has as many keys as it may; remove some",
    /// The skill's name is another member's.
    SkillTaken "skill_taken" 403 "the skill is another member's",
    /// The mesh has as many skills as it may.
    SkillsFull "skills_full" 429 "the mesh has as many skills as it may; remove some",
    /// The cron expression is none, or never fires.
    InvalidCron "invalid_cron" 400 "this is no cron expression that ever fires",
    /// The moment is none, or too far away.
    InvalidTime "invalid_time" 400 "the time is no moment of the next five years",
    /// There is no time zone of this name.
    InvalidTimezone "invalid_timezone" 400
        "no time zone has this name; write it as in Europe/Berlin",
    /// The member has no schedule of this id.
    ScheduleNotFound "schedule_not_found" 404 "you have no schedule of this id",
    /// The member, or the mesh, has as many schedules as it may.
    ScheduleLimit "schedule_limit" 429 "there are as many schedules as there may be; cancel some",
    /// The mesh has no simulation clock.
    NoClock "no_clock" 404 "the mesh has no simulation clock; set_clock starts one",
    /// The peer that was asked is not attached.
    PeerNotFound "peer_not_found" 404 "target peer not connected",
    /// The peer that was asked went away before it answered, or its edge did.
    PeerGone "peer_gone" 502 "the peer went away before it answered; ask again when it is back",
    /// The peer that was asked did not answer in time.
    Timeout "timeout" 504 "the peer did not answer in time",
    /// The URL is none that can be watched.
    InvalidUrl "invalid_url" 400 "not an http or https URL",
    /// The guard lets no request through to this URL.
    UrlRefused "url_refused" 403 "this deployment asks nothing of that address",
    /// A field of a watch is one that cannot be.
    InvalidWatch "invalid_watch" 400 "the watch has a field that cannot be",
    /// The mesh, or the member, has as many watches as it may.
    WatchLimit "watch_limit" 429 "there are as many watches as there may be; end some",
    /// The mesh has no such watch.
    WatchNotFound "watch_not_found" 404 "watch not found in this mesh",
    /// Too many questions wait for their answers.
    TooManyCalls "too_many_calls" 429 "too many questions wait for answers; wait for some of them",
    /// There are as many of these as there may be.
    Limit "limit" 409 "there are as many of these as there may be",
    /// The audit log could not be read.
    AuditQueryError "audit_query_error" 500 "the audit log could not be read; try again",
    /// The audit log could not be verified.
    AuditVerifyError "audit_verify_error" 500 "the audit log could not be verified; try again",
    /// The caller may not do this.
    Forbidden "forbidden" 403 "not allowed",
    /// The request's text has a wrong field.
    InvalidRequest "invalid_request" 400 "the request has a missing or wrong field",
    /// The route is there, and takes other methods.
    MethodNotAllowed "method_not_allowed" 405 "this route takes other methods",
    /// Somebody has that name already.
    Conflict "conflict" 409 "that name is taken",
    /// Too much, too fast.
    RateLimited "rate_limited" 429 "too many requests; wait a moment",
    /// The body is larger than it may be.
    TooLarge "too_large" 413 "the body is too large",
    /// The database does not answer.
    Unavailable "unavailable" 503 "the database does not answer; try again shortly",
    /// We failed; the log has the reason.
    Internal "internal" 500 "something failed on our side; the edge's log says what",
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// The `error` frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "error")]
pub struct Refusal {
    /// The code, for programs. A client may meet codes that it does not know.
    pub code: String,
    /// What happened and what to do, for people.
    pub message: String,
    /// The failing send's `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Extension, of `version_mismatch`: what the key holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Box<Entry>>,
}

impl Refusal {
    /// The refusal of this code in its own words.
    pub fn new(code: Code) -> Self {
        Self::with(code, code.message())
    }

    /// The refusal of this code, worded for the case.
    pub fn with(code: Code, message: impl Into<String>) -> Self {
        Self { code: code.as_str().into(), message: message.into(), id: None, current: None }
    }

    /// The same, naming the send that failed.
    pub fn of_send(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }
}
