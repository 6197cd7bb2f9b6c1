//! Our invite link: `http(s)://<edge>/join/<public part>#<secret part>`.
//!
//! The public part is base64url of the JSON of [`Payload`]; the secret part is base64url of the
//! token (32 bytes) and the mesh root key (32 bytes). The joiner sends the public part and the
//! token to `POST /join`; the root key goes nowhere.
//!
//! Canonical text: `skein-invite|2|<meshId>|<slug>|<edges, joined by ,>|<expiresAt>|<role>|<uses>|
//! <ownerPubkey>|<signerPubkey>|<tokenHash>` in one line, signed by the owner or by an admin's
//! member key. Parts that would make that text ambiguous are refused.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Role, token_hash};
use crate::keys::RootKey;
use crate::{Error, Public, Result, Secret, Signature, random};

/// The secret that lets its bearer join. Zeroed on drop; does not print.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Token([u8; 32]);

impl Token {
    /// A new random token.
    pub fn generate() -> Self {
        Self(random())
    }

    /// What is sent as `invite_token`: 64 hex characters.
    pub fn hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0))
    }

    /// What a server stores of it.
    pub fn hash(&self) -> String {
        token_hash(&self.hex())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The public part of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// Always 2.
    pub v: u8,
    /// The mesh.
    pub mesh_id: String,
    /// Its short name.
    pub slug: String,
    /// Socket URLs of edges, with `/ws`; the joiner tries them in turn.
    pub edges: Vec<String>,
    /// Unix milliseconds.
    pub expires_at: i64,
    /// What the new member may do; the server goes by what was registered.
    pub role: Role,
    /// How many may join with it.
    pub uses: u32,
    /// The owner of the mesh.
    pub owner_pubkey: Public,
    /// Who signed: the owner, or an admin's member key.
    pub signer_pubkey: Public,
    /// [`token_hash`] of the token in the secret part.
    pub token_hash: String,
    /// 128 hex characters.
    pub signature: String,
}

impl Payload {
    /// What is signed.
    pub fn text(&self) -> String {
        format!(
            "skein-invite|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}",
            self.v,
            self.mesh_id,
            self.slug,
            self.edges.join(","),
            self.expires_at,
            self.role.as_str(),
            self.uses,
            self.owner_pubkey,
            self.signer_pubkey,
            self.token_hash,
        )
    }

    /// The same payload with the signer's key and signature in it.
    pub fn signed(mut self, signer: &Secret) -> Self {
        self.signer_pubkey = signer.public();
        self.signature = signer.sign(self.text().as_bytes()).hex();
        self
    }

    /// Whether the key that it names as signer signed it. That the signer is an admin is the
    /// server's to know.
    pub fn verify(&self) -> Result<()> {
        let is_plain = |part: &String| !part.is_empty() && !part.contains(['|', ',']);
        let is_good = self.v == 2
            && is_plain(&self.mesh_id)
            && is_plain(&self.slug)
            && is_plain(&self.token_hash)
            && !self.edges.is_empty()
            && self.edges.iter().all(is_plain);
        if !is_good {
            return Err(Error::Malformed("invite payload"));
        }
        self.signer_pubkey.verify(self.text().as_bytes(), &Signature::parse(&self.signature)?)
    }
}

/// A whole link: what may be seen, and what may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The public part.
    pub payload: Payload,
    /// Proves to the server that the bearer was invited.
    pub token: Token,
    /// The mesh root key.
    pub root_key: RootKey,
}

impl Link {
    /// The link at `edge`, an `http(s)://host[:port]` without a path.
    pub fn at(&self, edge: &str) -> Zeroizing<String> {
        let json = serde_json::to_string(&self.payload).expect("a payload of plain fields is JSON");
        let public = URL_SAFE_NO_PAD.encode(json);
        let secret = Zeroizing::new([self.token.0, *self.root_key.as_bytes()].concat());
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice()));
        Zeroizing::new(format!("{}/join/{public}#{}", edge.trim_end_matches('/'), *secret))
    }

    /// Reads a link, and checks its signature and that the token fits it.
    pub fn parse(text: &str) -> Result<Self> {
        let malformed = || Error::Malformed("invite link");
        let (address, secret) = text.trim().split_once('#').ok_or_else(malformed)?;
        let is_http = address.starts_with("https://") || address.starts_with("http://");
        let (_edge, public) = address.rsplit_once("/join/").ok_or_else(malformed)?;
        if !is_http {
            return Err(malformed());
        }
        let json = URL_SAFE_NO_PAD.decode(public).map_err(|_| malformed())?;
        let payload: Payload = serde_json::from_slice(&json).map_err(|_| malformed())?;
        payload.verify()?;

        let secret = Zeroizing::new(URL_SAFE_NO_PAD.decode(secret).map_err(|_| malformed())?);
        let (token, root) = secret.split_first_chunk::<32>().ok_or_else(malformed)?;
        let root = root.try_into().map_err(|_| malformed())?;
        let token = Token(*token);
        if token.hash() != payload.token_hash {
            return Err(malformed());
        }
        Ok(Self { payload, token, root_key: RootKey::from_bytes(root) })
    }
}
