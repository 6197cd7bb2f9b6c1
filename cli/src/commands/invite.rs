//! `skein invite`: make, list, revoke.
//!
//! The link is made and signed here; the server learns the hash of its token, and neither the token
//! nor the mesh root key.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::json;
use skein_crypto::invite::link::{self, Token};
use skein_crypto::invite::{self, Role, reference};
use skein_crypto::random;
use skein_openapi::invites::{Invite, Invites, NewInvite};
use skein_openapi::members::{Grant, Role as MemberRole};
use zeroize::Zeroizing;

use super::Context;
use crate::home::Membership;
use crate::output::short;
use crate::rest::{Rest, http_of};
use crate::time;
use crate::{Error, Result};

/// How an invite is made; or what else to do with invites.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    make: Make,
}

/// How an invite is made.
#[derive(Debug, Clone, clap::Args)]
pub struct Make {
    /// How many may join with it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub uses: u16,
    /// How long it is good: 90s, 10m, 24h, 7d.
    #[arg(long, default_value = "24h", value_parser = time::parse_span, value_name = "SPAN")]
    pub expires: Duration,
    /// What whoever joins with it may do.
    #[arg(long, value_enum, default_value_t = Granted::Member)]
    pub role: Granted,
    /// Print the form that old clients read (`ic://join/…`).
    #[arg(long)]
    pub legacy: bool,
}

/// A role that an invite can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Granted {
    /// Invites and removes members.
    Admin,
    /// Takes part.
    Member,
}

/// What else to do with invites.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the invites of the mesh, newest first.
    List,
    /// Make an invite worthless.
    Revoke {
        /// Its id, as `list` shows it.
        id: String,
    },
}

/// A link, ready to be handed over.
#[derive(Debug)]
pub struct Made {
    /// The whole link.
    pub link: Zeroizing<String>,
    /// Until when it is good, ISO 8601.
    pub expires_at: String,
}

/// Runs `skein invite`.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    let membership = context.membership()?;
    match args.command {
        None => print(context, &membership, &args.make).await,
        Some(Command::List) => list(context, &membership).await,
        Some(Command::Revoke { id }) => {
            let path = format!("/v1/meshes/{}/invites/{id}", membership.mesh_id);
            Rest::of(&membership)?.delete(&path).await?;
            let shown = json!({"inviteId": id, "revoked": true});
            context
                .out
                .print(&shown, |out| writeln!(out, "Revoked. Nobody joins with it any more."))
        }
    }
}

/// Makes an invite and registers it.
pub async fn make(membership: &Membership, make: &Make) -> Result<Made> {
    let life_ms = i64::try_from(make.expires.as_millis()).unwrap_or(i64::MAX);
    // Whole seconds, because the reference's form has no finer ones.
    let expires_ms = (time::now_ms().saturating_add(life_ms) / 1000) * 1000;
    let role = match make.role {
        Granted::Admin => (Role::Admin, Grant::Admin),
        Granted::Member => (Role::Member, Grant::Member),
    };
    let (link, token_hash) = if make.legacy {
        legacy(membership, role.0, expires_ms)?
    } else {
        ours(membership, role.0, expires_ms, make.uses)?
    };
    let new = NewInvite {
        token_hash,
        role: role.1,
        uses: i32::from(make.uses),
        expires_at: time::iso(expires_ms),
    };
    let path = format!("/v1/meshes/{}/invites", membership.mesh_id);
    let _: Invite = Rest::of(membership)?.post(&path, &new).await?;
    Ok(Made { link, expires_at: new.expires_at })
}

fn ours(
    membership: &Membership,
    role: Role,
    expires_at: i64,
    uses: u16,
) -> Result<(Zeroizing<String>, String)> {
    let root_key = membership.root_key()?.ok_or_else(|| {
        Error::Usage("this home joined without the mesh key; only --legacy invites work".into())
    })?;
    let token = Token::generate();
    let signer = membership.signer()?;
    let token_hash = token.hash();
    let payload = link::Payload {
        v: 2,
        mesh_id: membership.mesh_id.clone(),
        slug: membership.slug.clone(),
        edges: membership.edges.clone(),
        expires_at,
        role,
        uses: uses.into(),
        owner_pubkey: membership.owner_pubkey,
        signer_pubkey: signer.public(),
        token_hash: token_hash.clone(),
        signature: String::new(),
    }
    .signed(&signer);
    let link = link::Link { payload, token, root_key };
    Ok((link.at(&address(membership)?), token_hash))
}

fn legacy(
    membership: &Membership,
    role: Role,
    expires_ms: i64,
) -> Result<(Zeroizing<String>, String)> {
    let owner = membership.owner()?.ok_or_else(|| {
        Error::Usage(
            "old clients accept invites of the owner alone, and this is not its home".into(),
        )
    })?;
    let broker_url = membership.edges.first().cloned().unwrap_or_default();
    let payload = reference::Payload {
        v: 1,
        mesh_id: membership.mesh_id.clone(),
        mesh_slug: membership.slug.clone(),
        broker_url,
        expires_at: expires_ms / 1000,
        // The whole payload goes to the server, so the mesh root key must not be in it.
        mesh_root_key: hex::encode(random::<32>()),
        role,
        owner_pubkey: String::new(),
        signature: String::new(),
    }
    .signed(&owner);
    let token = payload.encode();
    Ok((Zeroizing::new(reference::link(&token)), invite::token_hash(&token)))
}

fn address(membership: &Membership) -> Result<String> {
    let address = membership.edges.iter().find_map(|edge| http_of(edge));
    address.ok_or_else(|| Error::NotConnected("no edge of this mesh is known".into()))
}

async fn print(context: &Context, membership: &Membership, args: &Make) -> Result<()> {
    let made = make(membership, args).await?;
    let shown = json!({
        "link": made.link.as_str(), "meshId": membership.mesh_id,
        "expiresAt": made.expires_at, "uses": args.uses,
    });
    context.out.print(&shown, |out| {
        let uses = if args.uses == 1 { "once".into() } else { format!("{} times", args.uses) };
        writeln!(
            out,
            "Good {uses}, until {}. Whoever has it may join {}:",
            made.expires_at, membership.slug
        )?;
        writeln!(out, "\n{}\n", made.link.as_str())?;
        if io::stdout().is_terminal() { qr_code(out, &made.link) } else { Ok(()) }
    })
}

/// Draws the link, if the terminal is wide enough for it.
fn qr_code(out: &mut dyn Write, link: &str) -> io::Result<()> {
    let Ok(code) = QrCode::with_error_correction_level(link, EcLevel::L) else { return Ok(()) };
    let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(80, |size| size.ws_col);
    /// The empty frame that scanners need, on both sides.
    const FRAME_COLUMNS: usize = 8;
    if code.width() + FRAME_COLUMNS > usize::from(columns) {
        return writeln!(
            out,
            "(a terminal of {} columns would show it as a QR code)",
            code.width() + FRAME_COLUMNS
        );
    }
    writeln!(out, "{}", code.render::<Dense1x2>().build())
}

async fn list(context: &Context, membership: &Membership) -> Result<()> {
    let path = format!("/v1/meshes/{}/invites", membership.mesh_id);
    let invites: Invites = Rest::of(membership)?.get(&path).await?;
    context.out.print(&invites.invites, |out| {
        if invites.invites.is_empty() {
            return writeln!(out, "No invites. `skein invite` makes one.");
        }
        for one in &invites.invites {
            let state = match &one.revoked_at {
                Some(_) => "revoked",
                None if one.used >= one.uses => "used up",
                None => "open",
            };
            let by = context.out.dim(&format!("by {}", short(&one.created_by)));
            writeln!(
                out,
                "{}  {state}  {}/{} used  {}  until {}  {by}",
                one.id,
                one.used,
                one.uses,
                MemberRole::from(one.role).as_str(),
                one.expires_at
            )?;
        }
        Ok(())
    })
}
