//! Invites: a signed word of who may join a mesh, in two forms.
//!
//! [`mod@link`] is ours: its public part names the mesh, the edges and the *hash* of a token;
//! the token itself and the mesh root key stand after the `#`, which browsers and servers never
//! send on. [`mod@reference`] is the nine-field form of the reference, whose whole payload is the
//! token.
//!
//! A server knows an invite only by [`token_hash`]: nothing that it stores lets anyone join.

pub mod link;
pub mod reference;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// What a member may do in a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May invite and remove others.
    Admin,
    /// May take part.
    Member,
}

impl Role {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }
}

/// The payload of `POST /join`, of either form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// The reference's nine fields.
    Reference(reference::Payload),
    /// The public part of our link.
    Link(link::Payload),
}

impl Payload {
    /// Reads a payload by its `v`, and refuses versions that are neither.
    pub fn from_json(value: Value) -> Result<Self> {
        let malformed = |_| Error::Malformed("invite payload");
        match value.get("v").and_then(Value::as_u64) {
            Some(1) => serde_json::from_value(value).map(Self::Reference).map_err(malformed),
            Some(2) => serde_json::from_value(value).map(Self::Link).map_err(malformed),
            _ => Err(Error::Malformed("invite version")),
        }
    }

    /// Whether the signature in the payload fits it.
    pub fn verify(&self) -> Result<()> {
        match self {
            Self::Reference(payload) => payload.verify(),
            Self::Link(payload) => payload.verify(),
        }
    }
}

/// What a person pastes to join, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Ours.
    Ours(link::Link),
    /// The reference's; the token is sent as it stands.
    Reference {
        /// The token, byte for byte.
        token: String,
        /// What it says.
        payload: reference::Payload,
    },
}

impl Link {
    /// Reads any accepted form of link, and checks its signature.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.contains('#') {
            return link::Link::parse(text).map(Self::Ours);
        }
        let token = reference::token_of(text)?;
        let payload = reference::Payload::decode(token)?;
        payload.verify()?;
        Ok(Self::Reference { token: token.to_owned(), payload })
    }
}

/// The name of a token in the database: SHA-256 in hex over `skein-invite-token|` and the token as
/// it is sent to `/join` (hex for ours, the link's token for the reference's).
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(format!("skein-invite-token|{token}")))
}
