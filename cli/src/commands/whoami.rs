//! `skein whoami`: who this home is, in each mesh.

use serde_json::json;

use super::Context;
use crate::output::harmless;
use crate::{Error, Result};

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `skein whoami`. Reads the home alone.
pub fn run(context: &Context, Args {}: Args) -> Result<()> {
    let memberships = context.memberships()?;
    if memberships.is_empty() {
        return Err(Error::NoMesh);
    }
    let mut shown = Vec::new();
    for one in &memberships {
        shown.push(json!({
            "meshId": one.mesh_id, "slug": one.slug, "memberId": one.member_id,
            "displayName": one.display_name, "memberPubkey": one.member()?.public.hex(),
            "ownerPubkey": one.owner_pubkey, "owner": one.owner_secret.is_some(),
        }));
    }
    context.out.print(&shown, |out| {
        for (one, shown) in memberships.iter().zip(&shown) {
            let owner = if one.owner_secret.is_some() { ", the owner" } else { "" };
            let key = shown["memberPubkey"].as_str().unwrap_or_default();
            let (name, slug) = (harmless(&one.display_name), harmless(&one.slug));
            writeln!(out, "{} in {slug}{owner}", context.out.bold(&name))?;
            writeln!(out, "  key   {key}")?;
        }
        writeln!(out, "  home  {}", context.home.dir().display())
    })
}
