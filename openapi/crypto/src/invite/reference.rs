//! The reference's invite: nine fields, signed by the owner, of which base64url is the token.
//!
//! Canonical text:
//! `<v>|<mesh_id>|<mesh_slug>|<broker_url>|<expires_at>|<mesh_root_key>|<role>|<owner_pubkey>`. The
//! token is the database's key, so it travels byte for byte.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::Role;
use crate::{Error, Public, Result, Secret, Signature};

/// A bare token must be longer than this to be taken for one.
const TOKEN_CHARS_MIN: usize = 21;

/// The nine fields, in the reference's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Always 1.
    pub v: u8,
    /// The mesh.
    pub mesh_id: String,
    /// Its short name.
    pub mesh_slug: String,
    /// The socket URL, with `/ws`.
    pub broker_url: String,
    /// Unix seconds.
    pub expires_at: i64,
    /// The reference puts the mesh's root key here; ours puts a throwaway value.
    pub mesh_root_key: String,
    /// What the new member may do.
    pub role: Role,
    /// The owner, in hex of any case.
    pub owner_pubkey: String,
    /// The owner's signature, in hex of any case.
    pub signature: String,
}

impl Payload {
    /// What is signed.
    pub fn text(&self) -> String {
        format!(
            "{}|{}|{}|{}|{}|{}|{}|{}",
            self.v,
            self.mesh_id,
            self.mesh_slug,
            self.broker_url,
            self.expires_at,
            self.mesh_root_key,
            self.role.as_str(),
            self.owner_pubkey,
        )
    }

    /// The same payload with the owner's key and signature in it.
    pub fn signed(mut self, owner: &Secret) -> Self {
        self.owner_pubkey = owner.public().hex();
        self.signature = owner.sign(self.text().as_bytes()).hex();
        self
    }

    /// Whether the payload's own owner key signed it.
    pub fn verify(&self) -> Result<()> {
        let owner = Public::parse_any_case(&self.owner_pubkey)?;
        owner.verify(self.text().as_bytes(), &Signature::parse(&self.signature)?)
    }

    /// The token of this payload.
    pub fn encode(&self) -> String {
        let json = serde_json::to_string(self).expect("nine plain fields are JSON");
        URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads a token. Does not look at the signature or the clock.
    pub fn decode(token: &str) -> Result<Self> {
        let json = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::Malformed("invite token"))?;
        let payload: Self =
            serde_json::from_slice(&json).map_err(|_| Error::Malformed("invite payload"))?;
        let filled =
            [&payload.mesh_id, &payload.mesh_slug, &payload.broker_url, &payload.mesh_root_key];
        let is_good = payload.v == 1
            && payload.expires_at > 0
            && filled.iter().all(|field| !field.is_empty());
        if is_good { Ok(payload) } else { Err(Error::Malformed("invite payload")) }
    }
}

/// The `ic://` link of a token.
pub fn link(token: &str) -> String {
    format!("ic://join/{token}")
}

/// The token in any accepted form of link: `ic://join/…`, `http(s)://host[/xx]/join/…`, or the bare
/// token.
pub fn token_of(text: &str) -> Result<&str> {
    let text = text.trim();
    let malformed = Error::Malformed("invite link");
    let token = if let Some(rest) = text.strip_prefix("ic://join/") {
        rest.strip_suffix('/').unwrap_or(rest)
    } else if let Some(rest) =
        text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))
    {
        let (_host, path) = rest.split_once('/').ok_or(malformed.clone())?;
        let path = match path.split_once('/') {
            Some((locale, rest)) if is_locale(locale) => rest,
            _ => path,
        };
        let rest = path.strip_prefix("join/").ok_or(malformed.clone())?;
        rest.strip_suffix('/').unwrap_or(rest)
    } else if text.len() >= TOKEN_CHARS_MIN {
        text
    } else {
        return Err(malformed);
    };
    let is_token_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if token.is_empty() || !token.bytes().all(is_token_char) {
        return Err(malformed);
    }
    Ok(token)
}

fn is_locale(part: &str) -> bool {
    part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_lowercase())
}
