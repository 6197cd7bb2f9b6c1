//! `skein up`: a whole mesh on this machine, until Ctrl-C.
//!
//! The first start makes a mesh; its owner key and the membership are in this home, so that every
//! other command works at once. A later start finds it again: it is the oldest mesh of this home
//! that the deployment knows.

use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use skein_openapi::meshes::Mesh;
use skein_wire::Code;
use zeroize::Zeroizing;

use super::invite::{self, Granted, Made, Make};
use super::{Context, mesh};
use crate::home::Membership;
use crate::local::place::Place;
use crate::local::progress::Progress;
use crate::local::signals::Signals;
use crate::local::{Local, Options};
use crate::rest::{Rest, Signer};
use crate::{Error, Result};

/// What the first mesh is called; when that is taken, `local-2` and so on.
const SLUG: &str = "local";

/// How many names are tried.
const SLUGS_MAX: u32 = 100;

/// The invite that is printed: good for a first round of homes, all on this machine.
const INVITE: Make = Make {
    uses: 10,
    expires: Duration::from_secs(24 * 3600),
    role: Granted::Member,
    legacy: false,
};

/// What to run, and where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder that keeps everything; `local` in SKEIN_HOME when left out.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How many edges.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=16)
    )]
    edges: u16,
    /// The first edge's port on 127.0.0.1, the others follow; 0 takes free ones.
    #[arg(long, value_name = "BASE", default_value_t = 7900)]
    port: u16,
    /// A database to use instead of a private PostgreSQL.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

/// Runs `skein up` until it is told to stop.
pub async fn run(context: &Context, args: Args) -> Result<()> {
    let url = args.database_url.filter(|url| !url.is_empty());
    let options = Options {
        data: args.data.unwrap_or_else(|| context.home.dir().join("local")),
        edges: args.edges,
        port: args.port,
        database_url: url.map(|url| Zeroizing::new(url).into()),
    };
    let mut signals = Signals::listen()?;
    let mut local = tokio::select! {
        local = Local::open(options, Progress::new()) => local?,
        () = signals.next() => return Ok(()),
    };
    let served = tokio::select! {
        served = serve(context, &mut local) => served,
        () = signals.next() => Ok(()),
    };
    tokio::select! {
        () = local.stop() => (),
        // Whoever says it twice does not want to wait: all children end with us.
        () = signals.next() => (),
    }
    served
}

/// Starts everything, says so, and returns only when something fails.
async fn serve(context: &Context, local: &mut Local) -> Result<()> {
    local.start().await?;
    let membership = first_mesh(context, local).await?;
    let made = invite::make(&membership, &INVITE).await?;
    announce(context, local, &membership, &made)?;
    pending().await
}

/// The mesh that this home owns here, made if there is none.
pub async fn first_mesh(context: &Context, local: &Local) -> Result<Membership> {
    let owned = context.home.memberships()?.into_iter().filter(|one| one.owner_secret.is_some());
    let mut owned: Vec<_> = owned.collect();
    owned.sort_by(|a, b| a.joined_at.cmp(&b.joined_at));
    for membership in owned {
        let rest = Rest::new(local.http(), Signer::Key(membership.signer()?))?;
        match rest.get::<Mesh>(&format!("/v1/meshes/{}", membership.mesh_id)).await {
            Ok(_) => {
                let sockets = local.sockets();
                return context.home.change(&membership.mesh_id, |one| one.edges = sockets);
            }
            // It lives elsewhere.
            Err(Error::Refused { .. }) => (),
            Err(error) => return Err(error),
        }
    }
    new_mesh(context, local).await
}

async fn new_mesh(context: &Context, local: &Local) -> Result<Membership> {
    let operator = Signer::Operator(local.operator_token().as_str().to_owned());
    let rest = Rest::new(local.http(), operator)?;
    let here = context.home.memberships()?;
    let first = local.sockets().into_iter().next().expect("there is an edge");
    for number in 1..=SLUGS_MAX {
        let slug = if number == 1 { SLUG.to_owned() } else { format!("{SLUG}-{number}") };
        if here.iter().any(|one| one.slug == slug) {
            continue;
        }
        let created = mesh::create(context, &rest, slug.clone(), slug, first.clone(), None).await;
        let membership = match created {
            Err(Error::Refused { code, .. }) if code == Code::Conflict.as_str() => continue,
            created => created?,
        };
        let sockets = local.sockets();
        return context.home.change(&membership.mesh_id, |one| one.edges = sockets);
    }
    Err(Error::Local(format!("{SLUGS_MAX} meshes are called {SLUG} already")))
}

fn announce(context: &Context, local: &Local, membership: &Membership, made: &Made) -> Result<()> {
    let shown = json!({
        "edges": local.sockets(), "http": local.http(), "databaseUrl": local.database_url(),
        "meshId": membership.mesh_id, "invite": made.link.as_str(),
        "operatorToken": local.operator_token().as_str(),
    });
    let is_private = local.places().iter().all(Place::is_private);
    let whom = if is_private { "this machine alone" } else { "every machine that reaches it" };
    let several = context.home.memberships()?.len() > 1;
    let which = if several { format!(" --mesh {}", membership.slug) } else { String::new() };
    context.out.print(&shown, |out| {
        let slug = context.out.bold(&membership.slug);
        writeln!(out, "The mesh {slug} is up, for {whom}. You are its owner.\n")?;
        for socket in local.sockets() {
            writeln!(out, "  edge    {socket}")?;
        }
        writeln!(out, "  data    {}\n", local.folder().path().display())?;
        writeln!(out, "An invite, good for {} joins until {}:", INVITE.uses, made.expires_at)?;
        writeln!(out, "\n{}\n", made.link.as_str())?;
        writeln!(out, "Next, in another terminal:")?;
        writeln!(out, "  skein inbox --follow{which}                 see what arrives")?;
        writeln!(out, "In a third, as somebody else:")?;
        writeln!(out, "  export SKEIN_HOME=~/.skein-bob")?;
        writeln!(out, "  skein join --name bob 'LINK'         the link above, in quotes")?;
        writeln!(out, "  skein send {} hello", membership.display_name)?;
        writeln!(out, "\nCtrl-C stops everything.")
    })
}
