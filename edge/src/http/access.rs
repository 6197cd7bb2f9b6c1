//! Who asks, and what they may do in a mesh.
//!
//! A caller is the operator or an API key (`Authorization: Bearer <token or secret>`), or a key
//! that signed this very request (see `skein_crypto::request`). Who is none of them gets 401,
//! before any mesh is looked at. A key gets 404 for every mesh that it is not in, with the same
//! words as for a mesh that does not exist. Only then is a signature's nonce taken, so that
//! strangers write nothing, and a repeat is refused with 401.
//!
//! What a mesh is made of (members, invites, keys) goes by rank: [`Caller::enter`]. What its peers
//! share goes by membership, and for API keys by capability: [`Caller::act`], [`Caller::key`].

use std::sync::Arc;

use jiff::Timestamp;
use poem::{Body, Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};
use sha2::{Digest, Sha256};
use skein_crypto::request::{KEY_HEADER, NONCE_HEADER, SIGNATURE_HEADER, Signed, TIMESTAMP_HEADER};
use skein_openapi::{api_keys::Capability, members::Role};
use skein_sql::{
    Db, GenericClient,
    api_keys::{self, Key},
    members, meshes,
    meshes::Mesh,
    nonces,
};
use skein_wire::{Code, limit};

use super::{Fault, acting::Who};
use crate::Edge;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Whoever runs the deployment.
    Operator,
    /// A key that signed this request.
    Key {
        /// 64 hex characters.
        key: String,
        /// What makes the request unlike any other: the key and its nonce, as bytes.
        nonce: Vec<u8>,
    },
    /// An API key.
    Api(Box<Key>),
}

/// What the secret of an API key begins with, so that whoever finds one knows what it is.
pub const API_KEY_PREFIX: &str = "skein_key_";

/// What the caller may do in a mesh; each may also do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Sees the mesh and its members.
    Member,
    /// Invites and revokes members.
    Admin,
    /// Everything in its mesh.
    Owner,
    /// Everything, also making meshes.
    Operator,
}

/// Said of a mesh that there is not, and to strangers.
const NO_MESH: &str = "no such mesh, or you are not in it";

impl Caller {
    /// Opens the mesh of this id for a caller of at least this rank.
    ///
    /// # Errors
    /// `not_found` for strangers and where there is no such mesh, `replayed`, `forbidden`.
    pub async fn enter(&self, db: &Db, mesh_id: &str, least: Rank) -> Result<(Mesh, Rank), Fault> {
        let not_found = || Fault::with(Code::NotFound, NO_MESH);
        let mesh = meshes::find(db, mesh_id).await?.ok_or_else(not_found)?;
        let rank = match self {
            Self::Operator => Rank::Operator,
            Self::Key { key, nonce } => {
                let rank = rank_of(db, &mesh, key).await?.ok_or_else(not_found)?;
                once(db, nonce).await?;
                rank
            }
            Self::Api(key) if key.mesh == mesh.no => {
                let message = "this takes a signature; API keys do what their capabilities say";
                return Err(Fault::with(Code::Forbidden, message));
            }
            Self::Api(_) => return Err(not_found()),
        };
        if rank < least {
            return Err(Fault::with(Code::Forbidden, format!("this takes {}", least.words())));
        }
        Ok((mesh, rank))
    }

    /// Opens a mesh for a member of it, or an API key of it with this capability, who is to act in
    /// it as its peers do.
    ///
    /// # Errors
    /// `not_found` for strangers and where there is no such mesh, `replayed`, `forbidden`.
    pub async fn act(
        &self,
        db: &Db,
        mesh_id: &str,
        capability: Capability,
    ) -> Result<(Mesh, Who), Fault> {
        if let Self::Api(_) = self {
            let (mesh, key) = self.key(db, mesh_id, capability).await?;
            let Key { member, pubkey, name, .. } = key;
            return Ok((mesh, Who { member, key: pubkey, name }));
        }
        let (mesh, _) = self.enter(db, mesh_id, Rank::Member).await?;
        let member = match self {
            Self::Key { key, .. } => members::find_by_key(db, mesh.no, key).await?,
            _ => None,
        };
        let Some(member) = member else {
            let message = "this takes a member of the mesh, or an API key of it";
            return Err(Fault::with(Code::Forbidden, message));
        };
        let who = Who { member: member.mailbox, key: member.pubkey, name: member.display_name };
        Ok((mesh, who))
    }

    /// Opens a mesh for an API key of it with this capability, and for nobody else.
    ///
    /// # Errors
    /// As [`Caller::act`].
    pub async fn key(
        &self,
        db: &Db,
        mesh_id: &str,
        capability: Capability,
    ) -> Result<(Mesh, Key), Fault> {
        let Self::Api(key) = self else {
            self.enter(db, mesh_id, Rank::Member).await?;
            return Err(Fault::with(Code::Forbidden, "this takes an API key of the mesh"));
        };
        let mesh = meshes::find(db, mesh_id).await?.filter(|mesh| mesh.no == key.mesh);
        let mesh = mesh.ok_or_else(|| Fault::with(Code::NotFound, NO_MESH))?;
        if !key.capabilities.contains(&capability) {
            let message = format!("the API key has no capability `{}`", capability.as_str());
            return Err(Fault::with(Code::Forbidden, message));
        }
        Ok((mesh, (**key).clone()))
    }

    /// Lets in members, by rank, and API keys with this capability.
    ///
    /// # Errors
    /// As [`Caller::act`].
    pub async fn see(&self, db: &Db, mesh_id: &str, capability: Capability) -> Result<Mesh, Fault> {
        match self {
            Self::Api(_) => Ok(self.key(db, mesh_id, capability).await?.0),
            _ => Ok(self.enter(db, mesh_id, Rank::Member).await?.0),
        }
    }

    /// Who it is, for the record.
    pub fn name(&self) -> &str {
        match self {
            Self::Operator => "operator",
            Self::Key { key, .. } => key,
            Self::Api(key) => &key.pubkey,
        }
    }
}

impl Rank {
    fn words(self) -> &'static str {
        match self {
            Self::Member => "a member",
            Self::Admin => "an admin or the owner",
            Self::Owner => "the owner or the operator",
            Self::Operator => "the operator token",
        }
    }
}

async fn rank_of(
    db: &impl GenericClient,
    mesh: &Mesh,
    key: &str,
) -> Result<Option<Rank>, skein_sql::Error> {
    if key == mesh.owner_key {
        return Ok(Some(Rank::Owner));
    }
    let member = members::find_by_key(db, mesh.no, key).await?;
    Ok(member.filter(|member| !member.is_revoked).map(|member| match member.role {
        Role::Owner => Rank::Owner,
        Role::Admin => Rank::Admin,
        Role::Member => Rank::Member,
    }))
}

async fn once(db: &impl GenericClient, nonce: &[u8]) -> Result<(), Fault> {
    if nonces::take(db, nonce).await? {
        return Ok(());
    }
    let message = "this signed request was taken before";
    Err(Fault::hinting(Code::Replayed, message, "sign it again with a new nonce"))
}

impl<'a> ApiExtractor<'a> for Caller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let none = || MetaSecurityScheme {
            ty: "http",
            description: None,
            name: None,
            key_in: None,
            scheme: None,
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(
            "operator",
            MetaSecurityScheme {
                description: Some("The token of whoever runs the deployment."),
                scheme: Some("bearer"),
                ..none()
            },
        );
        registry.create_security_scheme(
            "apiKey",
            MetaSecurityScheme {
                description: Some("The secret of an API key. It goes into no URL."),
                scheme: Some("bearer"),
                ..none()
            },
        );
        registry.create_security_scheme(
            "signature",
            MetaSecurityScheme {
                ty: "apiKey",
                description: Some(
                    "An Ed25519 signature (128 hex characters) of the owner key or a member key \
                     over `skein-request|<METHOD>|<path with query>|<SHA-256 of the body in hex>|\
                     <X-Skein-Timestamp>|<X-Skein-Nonce>`. It comes with `X-Skein-Key` (64 hex \
                     characters), `X-Skein-Timestamp` (Unix milliseconds, at most a minute from \
                     now) and `X-Skein-Nonce` (32 hex characters, good once).",
                ),
                name: Some(SIGNATURE_HEADER),
                key_in: Some("header"),
                ..none()
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["operator", "apiKey", "signature"]
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        // Whoever comes after reads the body again.
        let read = body.take()?.into_bytes_limit(limit::HTTP_BODY_BYTES_MAX).await;
        let bytes = read.map_err(|_| Fault::new(Code::TooLarge))?;
        *body = RequestBody::new(Body::from_bytes(bytes.clone()));
        // What is JSON goes into the database sooner or later, which knows no U+0000.
        if std::str::from_utf8(&bytes).is_ok_and(skein_wire::has_unstorable) {
            let message = "the body holds U+0000 or half of a surrogate pair";
            return Err(Fault::with(Code::InvalidRequest, message).into());
        }
        if let Some(secret) = bearer(request).filter(|secret| secret.starts_with(API_KEY_PREFIX)) {
            let edge = request.data::<Arc<Edge>>().expect("routes() gives every request the edge");
            return Ok(Self::Api(Box::new(api_key(edge, secret).await?)));
        }
        Ok(caller(request, &bytes, Timestamp::now().as_millisecond())?)
    }
}

/// What the request says it may be trusted for.
fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization").and_then(|header| header.strip_prefix("Bearer "))
}

/// The API key of this secret, which has not asked too fast.
async fn api_key(edge: &Edge, secret: &str) -> Result<Key, Fault> {
    let hash: [u8; 32] = Sha256::digest(secret).into();
    let key = api_keys::find(&super::db(edge).await?, &hash).await?;
    let unknown = "there is no such API key, or it was revoked, or has expired";
    let key = key.ok_or_else(|| Fault::with(Code::Unauthorized, unknown))?;
    // Only keys that are there come here, so that nobody fills the table with others.
    if edge.api_key_rates.check_key(&key.id).is_err() {
        return Err(Fault::new(Code::RateLimited));
    }
    Ok(key)
}

fn caller(request: &Request, body: &[u8], now_ms: i64) -> Result<Caller, Fault> {
    if let Some(token) = bearer(request) {
        let edge = request.data::<Arc<Edge>>().expect("routes() gives every request the edge");
        let expected = edge.config.operator_token.as_ref();
        return match expected.is_some_and(|expected| is_equal(expected.expose(), token)) {
            true => Ok(Caller::Operator),
            false => Err(Fault::with(Code::Unauthorized, "this is not the operator token")),
        };
    }
    let [Some(key), Some(timestamp), Some(nonce), Some(signature)] =
        [KEY_HEADER, TIMESTAMP_HEADER, NONCE_HEADER, SIGNATURE_HEADER]
            .map(|name| request.header(name))
    else {
        let message = "the request is neither signed nor has it the operator token";
        let hint = "send Authorization: Bearer, or the four X-Skein headers; see /docs";
        return Err(Fault::hinting(Code::Unauthorized, message, hint));
    };
    let bad = |error: skein_crypto::Error| match error {
        skein_crypto::Error::Expired => Fault::hinting(
            Code::TimestampSkew,
            "the request was signed more than a minute from now",
            "set the clock, and sign it again",
        ),
        error => Fault::with(Code::BadSignature, error.to_string()),
    };
    let signed = Signed::parse(key, timestamp, nonce, signature).map_err(bad)?;
    let uri = request.original_uri();
    let path = uri.path_and_query().map_or(uri.path(), |it| it.as_str());
    signed.verify(request.method().as_str(), path, body, now_ms).map_err(bad)?;
    let nonce = hex::decode(&signed.nonce).expect("it was read as hex");
    Ok(Caller::Key { key: signed.key.hex(), nonce: [&signed.key.0[..], &nonce].concat() })
}

/// Compares digests, so that the time it takes says nothing of the token.
fn is_equal(expected: &str, given: &str) -> bool {
    Sha256::digest(expected) == Sha256::digest(given)
}
