//! From what an agent writes to a mesh and what a message is sent to.
//!
//! `slug:target` names the mesh. Otherwise a name or a key is looked for in every mesh, and must be
//! found in one: a message to the wrong peer cannot be taken back. Whole names come first, whatever
//! their case: of those who are here, then of those who ever joined and are away. Then a key may be
//! cut short. Last, a part of a name means the only peer here that has it, but only when it is
//! certain that nobody has the part as a whole name.

use std::sync::Arc;

use futures_util::future::join_all;
use skein_wire::presence::Peer;

use super::fence;
use super::mesh::Mesh;
use crate::client::message::is_multicast;
use crate::client::names::{self, Unresolved};
use crate::commands::mesh::members;
use crate::output::short;
use crate::rest::Rest;

/// Fewer characters of a key are taken for a name. Lists show as many.
pub const KEY_CHARS_MIN: usize = 16;

/// Where a message goes.
#[derive(Debug)]
pub struct Target {
    /// The mesh.
    pub mesh: Arc<Mesh>,
    /// A key, a group or `*`.
    pub spec: String,
    /// Who that is, where something else than a whole name or key was given.
    pub found: Option<String>,
}

/// Finds what `to` means, or says why it means nothing.
pub async fn resolve(meshes: &[Arc<Mesh>], to: &str) -> Result<Target, String> {
    let to = to.trim();
    let (meshes, name) = within(meshes, to);
    if let Some(spec) = names::literal(name) {
        return literal(&meshes, &spec).await;
    }
    let lists = lists(&meshes).await;
    if let Some(found) = only(&lists, |mesh, peers| exact(mesh, peers, name))? {
        return Ok(found);
    }
    let (away, mut unasked) = away(&meshes, name).await?;
    if let Some(found) = away {
        return Ok(found);
    }
    if let Some(found) = only(&lists, |_, peers| by_prefix(peers, name))? {
        return Ok(introduced(found, &lists));
    }
    for (mesh, peers) in &lists {
        if let Err(problem) = peers {
            unasked.push(format!("{}: {}", mesh.slug, fence::line(problem)));
        }
    }
    if !unasked.is_empty() {
        let unasked = unasked.join("; ");
        return Err(format!("nobody has this name, as far as could be asked ({unasked})"));
    }
    match only(&lists, |mesh, peers| partly(mesh, peers, name))? {
        Some(found) => Ok(introduced(found, &lists)),
        None => Err("nobody has this name; list_peers says who is here".into()),
    }
}

/// Says who was found.
fn introduced(target: Target, lists: &Lists) -> Target {
    let is_it = |peer: &&Peer| {
        peer.pubkey == target.spec || peer.member_pubkey.as_ref() == Some(&target.spec)
    };
    let mut here = lists.iter().filter(|(mesh, _)| mesh.id == target.mesh.id);
    let peer = here.find_map(|(_, peers)| peers.as_ref().ok()?.iter().find(is_it));
    let name = peer.map(|peer| fence::name(&peer.display_name)).unwrap_or_default();
    let found = Some(format!("\"{name}\", key {}…", short(&target.spec)));
    Target { found, ..target }
}

/// The meshes that are meant, and what is meant in them.
fn within<'a>(meshes: &[Arc<Mesh>], to: &'a str) -> (Vec<Arc<Mesh>>, &'a str) {
    let named = to.split_once(':').and_then(|(slug, rest)| {
        let is_it = |mesh: &&Arc<Mesh>| mesh.slug.eq_ignore_ascii_case(slug) || mesh.id == slug;
        let found: Vec<_> = meshes.iter().filter(is_it).cloned().collect();
        (!found.is_empty()).then_some((found, rest))
    });
    named.unwrap_or_else(|| (meshes.to_vec(), to))
}

/// A key, a group or `*`: it says what is meant, but perhaps not where.
async fn literal(meshes: &[Arc<Mesh>], spec: &str) -> Result<Target, String> {
    if let [mesh] = meshes {
        return Ok(Target { mesh: mesh.clone(), spec: spec.to_owned(), found: None });
    }
    if !is_multicast(spec) {
        let lists = lists(meshes).await;
        let has_key =
            |peer: &Peer| peer.pubkey == spec || peer.member_pubkey.as_deref() == Some(spec);
        let found = only(&lists, |_, peers| Ok(peers.iter().any(has_key).then(|| spec.to_owned())));
        if let Some(found) = found? {
            return Ok(found);
        }
    }
    let choices: Vec<_> = meshes.iter().map(|mesh| format!("{}:{spec}", mesh.slug)).collect();
    Err(format!("several meshes are joined, say which: {}", choices.join(" or ")))
}

/// Who is here, mesh by mesh.
type Lists = Vec<(Arc<Mesh>, Result<Vec<Peer>, String>)>;

async fn lists(meshes: &[Arc<Mesh>]) -> Lists {
    let asking = meshes.iter().map(|mesh| async { (mesh.clone(), mesh.peers().await) });
    join_all(asking).await
}

/// The one mesh in which `find` finds something.
fn only(
    lists: &Lists,
    find: impl Fn(&Mesh, &[Peer]) -> Result<Option<String>, String>,
) -> Result<Option<Target>, String> {
    let mut found = Vec::new();
    for (mesh, peers) in lists {
        if let Ok(peers) = peers
            && let Some(spec) = find(mesh, peers)?
        {
            found.push(Target { mesh: mesh.clone(), spec, found: None });
        }
    }
    one_of(found)
}

/// What was found, if it was not found twice.
fn one_of(mut found: Vec<Target>) -> Result<Option<Target>, String> {
    if found.len() > 1 {
        let slugs: Vec<_> = found.iter().map(|one| one.mesh.slug.as_str()).collect();
        let (all, first) = (slugs.join(", "), slugs[0]);
        return Err(format!("found in several meshes ({all}): write {first}:NAME for one of them"));
    }
    Ok(found.pop())
}

fn exact(mesh: &Mesh, peers: &[Peer], name: &str) -> Result<Option<String>, String> {
    let Some(own) = mesh.key() else { return Ok(None) };
    match names::resolve(name, peers, &own) {
        Ok(spec) => Ok(Some(spec)),
        Err(Unresolved::Unknown) => Ok(None),
        Err(Unresolved::Ambiguous(candidates)) => {
            Err(format!("several peers have this name, use a key: {}", candidates.join("; ")))
        }
    }
}

/// The session whose key begins so: lists show keys in short.
fn by_prefix(peers: &[Peer], prefix: &str) -> Result<Option<String>, String> {
    let prefix = prefix.trim_end_matches('…').to_ascii_lowercase();
    if prefix.len() < KEY_CHARS_MIN || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let found: Vec<_> = peers.iter().filter(|peer| peer.pubkey.starts_with(&prefix)).collect();
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only.pubkey.clone())),
        _ => Err("several keys begin so; give more of it".into()),
    }
}

fn partly(mesh: &Mesh, peers: &[Peer], part: &str) -> Result<Option<String>, String> {
    let part = part.to_lowercase();
    let own = mesh.key().map(|key| key.hex());
    let mut whole: Vec<&str> = peers
        .iter()
        .filter(|peer| Some(&peer.pubkey) != own.as_ref())
        .map(|peer| peer.display_name.as_str())
        .filter(|name| !part.is_empty() && name.to_lowercase().contains(&part))
        .collect();
    whole.sort_unstable_by_key(|name| name.to_lowercase());
    whole.dedup_by_key(|name| name.to_lowercase());
    match whole.as_slice() {
        [] => Ok(None),
        [name] => exact(mesh, peers, name),
        several => {
            let names: Vec<_> =
                several.iter().map(|one| format!("\"{}\"", fence::name(one))).collect();
            Err(format!("means several peers: {}", names.join(", ")))
        }
    }
}

/// The member who has this name, and where it could not be asked who has.
async fn away(meshes: &[Arc<Mesh>], name: &str) -> Result<(Option<Target>, Vec<String>), String> {
    let asking = meshes.iter().map(|mesh| async {
        let membership = mesh.membership().await;
        let all = match Rest::of(&membership) {
            Ok(rest) => members(&rest, &membership.mesh_id).await,
            Err(error) => Err(error),
        };
        (mesh.clone(), all)
    });
    let wanted = name.to_lowercase();
    let mut unasked = Vec::new();
    let mut found = Vec::new();
    for (mesh, all) in join_all(asking).await {
        let all = match all {
            Ok(all) => all.members,
            Err(problem) => {
                unasked.push(format!("{}: {}", mesh.slug, fence::line(&problem.to_string())));
                continue;
            }
        };
        let so_called = all.into_iter().filter(|one| one.display_name.to_lowercase() == wanted);
        let keys: Vec<_> = so_called.map(|one| one.pubkey).collect();
        match keys.as_slice() {
            [] => (),
            [key] => found.push(Target { mesh, spec: key.clone(), found: None }),
            several => {
                let all: Vec<_> = several.iter().map(|key| fence::line(key)).collect();
                let all = all.join("; ");
                return Err(format!("several members have this name, use a key: {all}"));
            }
        }
    }
    Ok((one_of(found)?, unasked))
}
