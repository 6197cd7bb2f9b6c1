//! `skein join`: become a member with a link.
//!
//! The member key is made here, before the first attempt, and kept until an answer came: an answer
//! that was lost does not cost a second use of the invite.

use serde_json::json;
use skein_crypto::invite::{Link, token_hash};
use skein_crypto::{Keypair, Public};
use skein_openapi::join::{Join, Joined};
use skein_wire::limit::DISPLAY_NAME_CHARS_MAX;

use super::Context;
use crate::home::{Membership, SecretText, VERSION};
use crate::rest::{Rest, Signer, http_of};
use crate::time;
use crate::{Error, Result};

/// What to join, and as whom.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The link, whole, with what stands after the `#`.
    pub link: String,
    /// What others will call you; the setting `name`, else your user name, when left out.
    #[arg(long)]
    pub name: Option<String>,
}

/// What a link of either form comes to.
struct Invited {
    mesh_id: String,
    slug: String,
    owner: Public,
    edges: Vec<String>,
    expires_ms: i64,
    root_key: Option<SecretText>,
    token: String,
    payload: serde_json::Value,
}

/// Runs `skein join`.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    let (membership, is_again) = join(context, &args.link, args.name).await?;
    let shown = json!({
        "meshId": membership.mesh_id, "slug": membership.slug, "memberId": membership.member_id,
        "displayName": membership.display_name, "alreadyMember": is_again,
    });
    context.out.print(&shown, |out| {
        let how = if is_again { "You were a member of" } else { "You joined" };
        writeln!(out, "{how} {} as {}.", membership.slug, membership.display_name)?;
        writeln!(
            out,
            "  `skein peers` shows who is here; `skein inbox --follow` shows what arrives."
        )
    })
}

/// Joins, and keeps the membership. The second value: whether we had joined before.
pub async fn join(
    context: &Context,
    link: &str,
    name: Option<String>,
) -> Result<(Membership, bool)> {
    let invited = read(link)?;
    if invited.expires_ms < time::now_ms() {
        return Err(Error::Refused {
            code: "invite_expired".into(),
            message: format!("the invite expired at {}", time::iso(invited.expires_ms)),
            hint: Some("ask for a new one".into()),
        });
    }
    let known = context.home.memberships()?.into_iter().find(|one| one.mesh_id == invited.mesh_id);
    let hash = token_hash(&invited.token);
    let member: Keypair = match &known {
        Some(membership) => membership.member()?,
        None => context.home.joining(&hash)?,
    };
    let before = known.as_ref().map(|membership| membership.display_name.clone());
    let display_name = name.or(before).map_or_else(|| context.default_name(), Ok)?;
    let display_name: String = display_name.chars().take(DISPLAY_NAME_CHARS_MAX).collect();
    let joined = ask(&invited, &member, &display_name, link).await?;
    let membership = match known {
        Some(known) => Membership {
            display_name,
            edges: invited.edges,
            edges_chosen: false,
            root_key: invited.root_key.or(known.root_key.clone()),
            member_id: joined.member_id,
            ..known
        },
        None => Membership {
            version: VERSION,
            mesh_id: invited.mesh_id,
            slug: invited.slug,
            member_id: joined.member_id,
            member_secret: member.secret.hex().into(),
            owner_pubkey: invited.owner,
            owner_secret: None,
            root_key: invited.root_key,
            edges: invited.edges,
            edges_chosen: false,
            display_name,
            groups: Vec::new(),
            status: None,
            summary: None,
            joined_at: time::iso(time::now_ms()),
        },
    };
    context.home.save(&membership)?;
    context.home.joined(&hash);
    Ok((membership, joined.already_member == Some(true)))
}

/// The name of who is logged in, else of the machine.
pub fn default_name() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    user.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

fn read(link: &str) -> Result<Invited> {
    Ok(match Link::parse(link)? {
        Link::Ours(link) => Invited {
            mesh_id: link.payload.mesh_id.clone(),
            slug: link.payload.slug.clone(),
            owner: link.payload.owner_pubkey,
            edges: link.payload.edges.clone(),
            expires_ms: link.payload.expires_at,
            root_key: Some(link.root_key.hex().into()),
            token: link.token.hex().to_string(),
            payload: serde_json::to_value(&link.payload).expect("a payload is JSON"),
        },
        Link::Reference { token, payload } => Invited {
            mesh_id: payload.mesh_id.clone(),
            slug: payload.mesh_slug.clone(),
            owner: Public::parse_any_case(&payload.owner_pubkey)?,
            edges: vec![payload.broker_url.clone()],
            expires_ms: payload.expires_at.saturating_mul(1000),
            root_key: None,
            payload: serde_json::to_value(&payload).expect("a payload is JSON"),
            token,
        },
    })
}

async fn ask(invited: &Invited, member: &Keypair, name: &str, link: &str) -> Result<Joined> {
    // The address in the link comes first: it is how the inviter reaches the mesh.
    let here = link.trim().split_once("/join/").and_then(|(address, _)| http_of(address));
    let here = here.filter(|_| invited.root_key.is_some());
    let mut bases: Vec<String> = here.into_iter().collect();
    for base in invited.edges.iter().filter_map(|edge| http_of(edge)) {
        if !bases.contains(&base) {
            bases.push(base);
        }
    }
    let body = Join {
        invite_token: invited.token.clone(),
        invite_payload: invited.payload.clone(),
        peer_pubkey: member.public.hex(),
        display_name: name.into(),
    };
    let joined: Joined = match Rest::new(bases, Signer::Nobody)?.post("/join", &body).await {
        Err(Error::Refused { code, hint: None, .. }) => return Err(refused(code)),
        other => other?,
    };
    if !joined.ok || joined.member_id.is_empty() {
        return Err(Error::Unexpected("/join answered without a member id".into()));
    }
    Ok(joined)
}

/// What the reference's words for refusals mean.
fn refused(code: String) -> Error {
    let (message, hint) = match code.as_str() {
        "invite_expired" => ("the invite has expired", "ask for a new one"),
        "invite_exhausted" => ("the invite was used as often as it may", "ask for a new one"),
        "invite_revoked" => ("the invite was revoked", "ask for a new one"),
        "invite_not_found" => ("the server does not know this invite", "ask for a new one"),
        "mesh_not_found" => ("the mesh is gone, or lives elsewhere", "ask who invited you"),
        "invite_bad_signature" => ("the link was changed on its way", "copy it again, whole"),
        other => (other, "ask who invited you"),
    };
    Error::Refused { message: message.into(), hint: Some(hint.into()), code }
}
