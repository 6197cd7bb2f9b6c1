//! `skein mesh`: create, list, info.

use clap::Subcommand;
use serde_json::json;
use skein_crypto::Keypair;
use skein_crypto::keys::RootKey;
use skein_openapi::members::Members;
use skein_openapi::meshes::{Mesh, MeshCreated, NewMesh};
use skein_wire::mesh_info::MeshInfo;

use super::{Context, attach};
use crate::home::Membership;
use crate::output::{harmless, short};
use crate::rest::{Rest, Signer, http_of, ws_of};
use crate::time;
use crate::{Error, Result};

/// What to do with meshes.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a mesh at an edge; its owner key is made here and stays here.
    Create {
        /// Its short name: lower-case letters, digits and `-`.
        slug: String,
        /// Its name for people; the short name when left out.
        #[arg(long)]
        name: Option<String>,
        /// An edge of the deployment, as an http(s) or ws(s) URL.
        #[arg(
            long,
            env = "SKEIN_EDGE",
            hide_env_values = true,
            default_value = "http://127.0.0.1:7900"
        )]
        edge: String,
        /// The deployment's operator token.
        #[arg(long, env = "SKEIN_OPERATOR_TOKEN", hide_env_values = true)]
        operator_token: String,
        /// What others will call you.
        #[arg(long = "as", value_name = "NAME")]
        display_name: Option<String>,
    },
    /// List the meshes that this home joined.
    List,
    /// Show a mesh, its members and what it has, as the server knows them.
    Info,
}

/// Runs `skein mesh`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Create { slug, name, edge, operator_token, display_name } => {
            let (base, edge) = http_of(&edge)
                .zip(ws_of(&edge))
                .ok_or_else(|| Error::Usage(format!("`{edge}` is no http(s) or ws(s) URL")))?;
            let rest = Rest::new(vec![base], Signer::Operator(operator_token))?;
            let name = name.unwrap_or_else(|| slug.clone());
            let membership = create(context, &rest, slug, name, edge, display_name).await?;
            // Invites name every edge, so that joiners survive the loss of this one. A mesh that
            // cannot be attached to yet exists all the same.
            if let Ok(attached) = attach::attach(context, &membership).await {
                attached.client.close().await;
            }
            let membership = context.home.membership(Some(&membership.mesh_id))?;
            let shown = json!({
                "meshId": membership.mesh_id, "slug": membership.slug,
                "memberId": membership.member_id, "edges": membership.edges,
            });
            context.out.print(&shown, |out| {
                writeln!(out, "Created mesh {}. You are its owner.", membership.slug)?;
                writeln!(out, "  `skein invite` makes a link that lets others join.")
            })
        }
        Command::List => list(context),
        Command::Info => info(context).await,
    }
}

/// Creates a mesh with new keys, and keeps them in the home.
pub async fn create(
    context: &Context,
    rest: &Rest,
    slug: String,
    name: String,
    edge: String,
    display_name: Option<String>,
) -> Result<Membership> {
    let (owner, member) = (Keypair::generate(), Keypair::generate());
    let display_name = display_name.map_or_else(|| context.default_name(), Ok)?;
    let new = NewMesh {
        slug,
        name,
        owner_pubkey: owner.public.hex(),
        member_pubkey: Some(member.public.hex()),
        display_name: display_name.clone(),
    };
    let created: MeshCreated = rest.post("/v1/meshes", &new).await?;
    let membership = Membership {
        version: crate::home::VERSION,
        mesh_id: created.mesh.id,
        slug: created.mesh.slug,
        member_id: created.member_id,
        member_secret: member.secret.hex().into(),
        owner_pubkey: owner.public,
        owner_secret: Some(owner.secret.hex().into()),
        root_key: Some(RootKey::generate().hex().into()),
        edges: vec![edge],
        edges_chosen: false,
        display_name,
        groups: Vec::new(),
        status: None,
        summary: None,
        joined_at: time::iso(time::now_ms()),
    };
    context.home.save(&membership)?;
    Ok(membership)
}

fn list(context: &Context) -> Result<()> {
    let all = context.home.memberships()?;
    let shown: Vec<_> = all
        .iter()
        .map(|one| {
            json!({
                "meshId": one.mesh_id, "slug": one.slug, "memberId": one.member_id,
                "displayName": one.display_name, "owner": one.owner_secret.is_some(),
                "edges": one.edges, "joinedAt": one.joined_at,
            })
        })
        .collect();
    context.out.print(&shown, |out| {
        if all.is_empty() {
            return writeln!(out, "No mesh yet. Join one with `skein join LINK`.");
        }
        for one in &all {
            let owner = if one.owner_secret.is_some() { ", owner" } else { "" };
            let edge = one.edges.first().map_or("no edge", String::as_str);
            writeln!(
                out,
                "{}  as {}{owner}  {}",
                context.out.bold(&harmless(&one.slug)),
                harmless(&one.display_name),
                context.out.dim(edge)
            )?;
        }
        Ok(())
    })
}

async fn info(context: &Context) -> Result<()> {
    let membership = context.membership()?;
    let rest = Rest::of(&membership)?;
    let mesh: Mesh = rest.get(&format!("/v1/meshes/{}", membership.mesh_id)).await?;
    let members = members(&rest, &membership.mesh_id).await?;
    let has = attach::ask(context, &MeshInfo {}).await?;
    let shown = json!({"mesh": mesh, "members": members.members, "has": has});
    context.out.print(&shown, |out| {
        writeln!(out, "{}  {}", context.out.bold(&harmless(&mesh.slug)), harmless(&mesh.name))?;
        writeln!(out, "  id      {}", mesh.id)?;
        writeln!(out, "  owner   {}", mesh.owner_pubkey)?;
        writeln!(out, "  peers   {} attached now", mesh.peers)?;
        writeln!(out, "  members {}", mesh.members)?;
        for member in &members.members {
            let name = harmless(&member.display_name);
            let key = context.out.dim(short(&member.pubkey));
            writeln!(out, "    {name}  {}  {} here  {key}", member.role.as_str(), member.peers)?;
        }
        let (keys, streams, tasks) = (has.state_keys.len(), has.streams.len(), has.tasks);
        writeln!(
            out,
            "  has     {keys} state keys, {} memories, {streams} streams",
            has.memory_count
        )?;
        let (open, claimed, done) = (tasks.open, tasks.claimed, tasks.done);
        writeln!(out, "  tasks   {open} open, {claimed} claimed, {done} done")?;
        Ok(())
    })
}

/// What the keys of everyone who joined are called; nothing where the server does not tell.
pub async fn names(membership: &Membership) -> Vec<(String, String)> {
    let Ok(rest) = Rest::of(membership) else { return Vec::new() };
    let Ok(all) = members(&rest, &membership.mesh_id).await else { return Vec::new() };
    all.members.into_iter().map(|member| (member.pubkey, member.display_name)).collect()
}

/// Everyone who joined, page by page.
pub async fn members(rest: &Rest, mesh_id: &str) -> Result<Members> {
    /// Pages that are read; 500 members each.
    const PAGES_MAX: usize = 200;
    let mut all = Members { members: Vec::new(), next: None };
    for _ in 0..PAGES_MAX {
        let after = all.next.map(|after| format!("?after={after}")).unwrap_or_default();
        let page: Members = rest.get(&format!("/v1/meshes/{mesh_id}/members{after}")).await?;
        all.members.extend(page.members);
        all.next = page.next;
        if all.next.is_none() {
            break;
        }
    }
    Ok(all)
}
