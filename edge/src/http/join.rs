//! `POST /join`: an invite makes a key a member.
//!
//! The signed payload says which mesh is meant and who invites; the token proves that the joiner
//! was given the invite; the registered row says what it is worth: its role, its uses, its end. The
//! role in the payload is not used: a token for members must not make an admin with another's
//! payload.

use std::sync::Arc;

use openapi::{
    join::{Join, Joined, NotOk},
    members::Role,
};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};
use serde_json::Value;
use skein_crypto::{
    Public,
    invite::{Payload, token_hash},
};
use skein_openapi as openapi;
use skein_sql::{
    GenericClient,
    audit::{self, Actor},
    invites, members, meshes,
};
use skein_wire::{audit::Event, limit};
use tracing::info;

use super::{
    Tag,
    fault::code_of,
    legacy::{Plain, Sent},
};
use crate::Edge;

/// The route.
#[derive(Debug)]
pub struct JoinRoute;

/// The answer.
#[derive(Debug, ApiResponse)]
pub enum Reply {
    /// The key is a member.
    #[oai(status = 200)]
    Joined(Plain<Joined>),
    /// A field is missing, or one of `invite_bad_signature`, `mesh_not_found`,
    /// `invite_owner_mismatch` (also when the signer is no admin), `invite_not_found`,
    /// `invite_mesh_mismatch`, `invite_revoked`, `invite_expired`, `invite_exhausted`,
    /// `member_insert_failed` (the key was revoked here, or is a session's).
    #[oai(status = 400)]
    Refused(Plain<NotOk>),
    /// The body is over 65,536 bytes.
    #[oai(status = 413)]
    TooLarge(Plain<NotOk>),
    /// The body is not JSON, or we failed.
    #[oai(status = 500)]
    Failed(Plain<NotOk>),
}

/// Why there was no joining.
#[derive(Debug)]
enum Refusal {
    Said(&'static str),
    Failed(skein_sql::Error),
}

impl<E: Into<skein_sql::Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

#[OpenApi(tag = "Tag::Legacy")]
impl JoinRoute {
    /// Makes a key a member. The invite is the permission.
    #[oai(path = "/join", method = "post", operation_id = "join")]
    async fn join(&self, edge: Data<&Arc<Edge>>, sent: Sent<Join>) -> Reply {
        let value = match sent {
            Sent::Json(value, _) => value,
            Sent::TooLarge => return Reply::TooLarge(Plain(NotOk::new("payload too large"))),
            Sent::Unreadable(why) => return Reply::Failed(Plain(NotOk::new(why))),
        };
        let outcome = match read(value) {
            Ok(request) => join(&edge, &request).await,
            Err(refusal) => Err(Refusal::Said(refusal)),
        };
        match outcome {
            Ok(joined) => Reply::Joined(Plain(joined)),
            Err(Refusal::Said(code)) => Reply::Refused(Plain(NotOk::new(code))),
            Err(Refusal::Failed(failed)) => {
                Reply::Failed(Plain(NotOk::new(code_of(&failed).message())))
            }
        }
    }
}

/// A request whose form is right.
struct Request {
    token: String,
    payload: Payload,
    key: Public,
    display_name: String,
}

/// Reads the fields, in the reference's order of refusals.
fn read(mut value: Value) -> Result<Request, &'static str> {
    const REQUIRED: &str = "invite_token, invite_payload, peer_pubkey, display_name required";
    let text = |name: &str| {
        let text = value.get(name).and_then(Value::as_str).unwrap_or_default();
        if text.is_empty() { Err(REQUIRED) } else { Ok(text.to_owned()) }
    };
    let (token, key, name) = (text("invite_token")?, text("peer_pubkey")?, text("display_name")?);
    let payload = value.get_mut("invite_payload").map(Value::take).unwrap_or_default();
    if !payload.is_object() {
        return Err(REQUIRED);
    }
    let key =
        Public::parse_any_case(&key).map_err(|_| "peer_pubkey must be 64 hex chars (32 bytes)")?;
    if name.contains('\0') {
        return Err("display_name must not contain U+0000");
    }
    let payload = Payload::from_json(payload).map_err(|_| "invite_bad_signature")?;
    let display_name = name.chars().take(limit::DISPLAY_NAME_CHARS_MAX).collect();
    Ok(Request { token, payload, key, display_name })
}

async fn join(edge: &Edge, request: &Request) -> Result<Joined, Refusal> {
    request.payload.verify().map_err(|_| Refusal::Said("invite_bad_signature"))?;
    let (mesh_id, owner, signer) = match &request.payload {
        Payload::Reference(it) => (&it.mesh_id, it.owner_pubkey.to_ascii_lowercase(), None),
        Payload::Link(it) => (&it.mesh_id, it.owner_pubkey.hex(), Some(it.signer_pubkey.hex())),
    };
    // The text reaches the database, which knows no U+0000.
    if mesh_id.contains('\0') {
        return Err(Refusal::Said("mesh_not_found"));
    }

    let mut db = edge.pool.get().await?;
    let tx = db.transaction().await?;
    let mesh = meshes::find(&tx, mesh_id).await?.ok_or(Refusal::Said("mesh_not_found"))?;
    if owner != mesh.owner_key {
        return Err(Refusal::Said("invite_owner_mismatch"));
    }
    if let Some(signer) = signer
        && !may_invite(&tx, &mesh, &signer).await?
    {
        return Err(Refusal::Said("invite_owner_mismatch"));
    }
    let invite = standing(&tx, &mesh, request).await?;
    let key = request.key.hex();
    if let Some(member) = members::find_by_key(&tx, mesh.no, &key).await? {
        return already(member);
    }
    if members::is_session_key_of_other(&tx, mesh.no, &key).await? {
        return Err(Refusal::Said("member_insert_failed"));
    }
    // From here to the commit the invite's row is ours, so equal requests take turns.
    if !invites::take(&tx, mesh.no, &invite.id).await? {
        return Err(Refusal::Said("invite_exhausted"));
    }
    let role: Role = invite.role.into();
    match members::insert(&tx, mesh.no, &key, &request.display_name, role).await? {
        Some(member) => {
            let actor = Actor::Member(member.mailbox, &member.display_name);
            let (member_id, pubkey, role) = (&member.id, &member.pubkey, role.as_str());
            let event = Event::MemberJoined { member_id, pubkey, role, invite_id: &invite.id };
            audit::add(&tx, mesh.no, actor, event).await?;
            tx.commit().await?;
            info!(mesh = mesh.id, member = member.id, "a member joined");
            Ok(Joined { ok: true, member_id: member.id, already_member: None })
        }
        // The same key came at the same moment with another invite; our use is rolled back.
        None => {
            let member = members::find_by_key(&tx, mesh.no, &key).await?;
            already(member.ok_or(Refusal::Said("member_insert_failed"))?)
        }
    }
}

fn already(member: members::Member) -> Result<Joined, Refusal> {
    if member.is_revoked {
        return Err(Refusal::Said("member_insert_failed"));
    }
    Ok(Joined { ok: true, member_id: member.id, already_member: Some(true) })
}

/// Whether this key may sign invites for the mesh now.
async fn may_invite(
    db: &impl GenericClient,
    mesh: &meshes::Mesh,
    key: &str,
) -> Result<bool, skein_sql::Error> {
    if key == mesh.owner_key {
        return Ok(true);
    }
    let member = members::find_by_key(db, mesh.no, key).await?;
    Ok(member.is_some_and(|member| !member.is_revoked && member.role != Role::Member))
}

/// What the token is worth, in the reference's order of refusals.
async fn standing(
    db: &impl GenericClient,
    mesh: &meshes::Mesh,
    request: &Request,
) -> Result<invites::Standing, Refusal> {
    let hash = token_hash(&request.token);
    let not_found = Refusal::Said("invite_not_found");
    if matches!(&request.payload, Payload::Link(payload) if payload.token_hash != hash) {
        return Err(not_found);
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(&hash, &mut bytes).expect("the hash is 64 hex characters");
    let found = invites::find_by_token(db, &bytes).await?.ok_or(not_found)?;
    match found {
        found if found.mesh != mesh.no => Err(Refusal::Said("invite_mesh_mismatch")),
        found if found.is_revoked => Err(Refusal::Said("invite_revoked")),
        found if found.is_expired => Err(Refusal::Said("invite_expired")),
        found => Ok(found),
    }
}
