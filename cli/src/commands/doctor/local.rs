//! The hops on this machine: the home's files, and the keys in them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use super::chain::Chain;
use super::report::Name;
use crate::client::inbox::Shown;
use crate::commands::Context;
use crate::home::{Lifetime, Membership};
use crate::output::short;
use crate::probe::Fault;
use crate::{Error, tls};

/// What a hop found.
type Found<T> = std::result::Result<(T, String, Option<String>), Fault>;

/// Looks at the home and its files; returns the memberships that are meant.
pub fn configuration(context: &Context, chain: &mut Chain) -> Vec<Membership> {
    let since = Instant::now();
    let found = files(context);
    chain.note(Name::Configuration, since, found).unwrap_or_default()
}

fn files(context: &Context) -> Found<Vec<Membership>> {
    let home = &context.home;
    private(home.dir(), 0o700)?;
    home.settings().map_err(fault)?;
    let mut all = Vec::new();
    for file in home.membership_files().map_err(fault)? {
        all.push(Membership::read_unchecked(&file).map_err(fault)?);
    }
    if all.is_empty() {
        return Err(fault(Error::NoMesh));
    }
    if let Some(mesh) = &context.mesh {
        all.retain(|one| one.slug == *mesh || one.mesh_id == *mesh);
        if all.is_empty() {
            return Err(fault(Error::NotFound(format!("no mesh `{mesh}` is joined in this home"))));
        }
    }
    all.sort_by(|a, b| a.slug.cmp(&b.slug));
    for one in &all {
        private(&home.membership_file(&one.mesh_id), 0o600)?;
        if one.edges.is_empty() {
            let what = format!("no edge of {} is known", one.slug);
            let fix = "join again with a new link, or `skein config set edges URL`";
            return Err(Fault::new(what, fix));
        }
        Shown::open(&home.inbox(&one.mesh_id))
            .and_then(|inbox| inbox.all())
            .map_err(|error| Fault::new(format!("the inbox of {}: {error}", one.slug), FREE))?;
    }
    if let Some(file) = tls::file().filter(|file| fs::File::open(file).is_err()) {
        let what = format!("{} names {}, which cannot be read", tls::VARIABLE, file.display());
        return Err(Fault::new(what, "correct the variable, or unset it"));
    }
    let meshes = if all.len() == 1 { "1 mesh".into() } else { format!("{} meshes", all.len()) };
    let detail = format!("{}, for you alone, {meshes}", home.dir().display());
    Ok((all, detail, None))
}

/// What to do when a file cannot be used.
const FREE: &str = "free space, or correct the permissions of the home";

/// Looks at a membership's keys, and takes a session key.
pub fn keys(context: &Context, membership: &Membership, chain: &mut Chain) {
    let since = Instant::now();
    chain.note(Name::Keys, since, whole(context, membership));
}

fn whole(context: &Context, membership: &Membership) -> Found<()> {
    let again = "put a copy of the file back, or `skein leave` this mesh and join it again";
    let broken = |what: String| Fault::new(what, again);
    let member = membership.member().map_err(|error| broken(format!("member key: {error}")))?;
    let owner = membership.owner().map_err(|error| broken(format!("owner key: {error}")))?;
    if owner.as_ref().is_some_and(|owner| owner.public() != membership.owner_pubkey) {
        return Err(broken("the owner key is not the one of this mesh".into()));
    }
    let root = membership.root_key().map_err(|error| broken(format!("mesh key: {error}")))?;
    let session = context.home.session(&membership.mesh_id, Lifetime::Short);
    session.map_err(|error| Fault::new(format!("session keys: {error}"), FREE))?;
    let mut detail = format!("member {}", short(&member.public.hex()));
    if owner.is_some() {
        detail += ", the owner's key";
    }
    if root.is_some() {
        detail += ", the mesh key";
    }
    Ok(((), detail, None))
}

/// Whether nobody else may look.
fn private(path: &Path, mode: u32) -> std::result::Result<(), Fault> {
    let meta = fs::metadata(path).map_err(|error| {
        Fault::new(format!("{}: {error}", path.display()), "set SKEIN_HOME to a folder of yours")
    })?;
    if meta.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    let what = format!("others may look into {}", path.display());
    Err(Fault::new(what, format!("chmod {mode:o} {}", path.display())))
}

fn fault(error: Error) -> Fault {
    let fix = error.hint().unwrap_or_else(|| FREE.into());
    let what = crate::output::chain(&error);
    Fault::new(what, fix)
}
