//! Error codes: programs read the code, people read the message. Both stand in this one table.

use serde::{Deserialize, Serialize};

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
    /// The caller may not do this.
    Forbidden "forbidden" 403 "not allowed",
    /// The request's text has a wrong field.
    InvalidRequest "invalid_request" 400 "the request has a missing or wrong field",
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
}

impl Refusal {
    /// The refusal of this code in its own words.
    pub fn new(code: Code) -> Self {
        Self::with(code, code.message())
    }

    /// The refusal of this code, worded for the case.
    pub fn with(code: Code, message: impl Into<String>) -> Self {
        Self { code: code.as_str().into(), message: message.into(), id: None }
    }

    /// The same, naming the send that failed.
    pub fn of_send(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }
}
