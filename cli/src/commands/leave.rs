//! `skein leave`: forget a mesh.

use serde_json::json;

use super::Context;
use crate::{Error, Result};

/// Which mesh to forget.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The mesh, by short name or id.
    #[arg(value_name = "MESH")]
    name: Option<String>,
    /// Also when the owner key is lost with it.
    #[arg(long)]
    yes: bool,
}

/// Runs `skein leave`. The inbox stays on disk; the server keeps the member until it is revoked.
pub fn run(context: &Context, args: Args) -> Result<()> {
    let named = args.name.as_deref().or(context.mesh.as_deref());
    let membership = context.home.membership(named)?;
    if membership.owner_secret.is_some() && !args.yes {
        return Err(Error::Usage(format!(
            "this home holds the owner key of {}, which exists nowhere else; say --yes to lose it",
            membership.slug
        )));
    }
    context.home.forget(&membership.mesh_id)?;
    let shown = json!({"meshId": membership.mesh_id, "slug": membership.slug, "left": true});
    context.out.print(&shown, |out| {
        writeln!(out, "Left {}. What arrived stays in this home.", membership.slug)
    })
}
