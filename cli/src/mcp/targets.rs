//! From what an agent writes to a mesh and what a message is sent to.
//!
//! `slug:target` names the mesh. Otherwise a name or a key is looked for in every mesh, and must be
//! found in one: a message in the wrong mesh cannot be taken back. A name is found by itself,
//! whatever its case, then by a part of it that only one peer has, then among those who ever joined
//! and are away; a key may be cut short.

use std::sync::Arc;

use futures_util::future::join_all;
use skein_wire::presence::Peer;

use super::mesh::Mesh;
use crate::Error;
use crate::client::message::is_multicast;
use crate::client::names::{self, Unresolved};
use crate::commands::send;

/// Fewer characters of a key are taken for a name.
const KEY_CHARS_MIN: usize = 8;

/// Where a message goes.
#[derive(Debug)]
pub struct Target {
    /// The mesh.
    pub mesh: Arc<Mesh>,
    /// A key, a group or `*`.
    pub spec: String,
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
    if let Some(found) = only(&lists, |_, peers| by_prefix(peers, name))? {
        return Ok(found);
    }
    if let Some(found) = only(&lists, |mesh, peers| partly(mesh, peers, name))? {
        return Ok(found);
    }
    away(&meshes, &lists, name).await
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
        return Ok(Target { mesh: mesh.clone(), spec: spec.to_owned() });
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
            found.push(Target { mesh: mesh.clone(), spec });
        }
    }
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
        several => Err(format!("means several peers: {}", several.join(", "))),
    }
}

/// A member who is not here.
async fn away(meshes: &[Arc<Mesh>], lists: &Lists, name: &str) -> Result<Target, String> {
    let asking = meshes.iter().map(|mesh| async {
        let membership = mesh.membership().await;
        (mesh.clone(), send::away(&membership, name).await)
    });
    let mut found = Vec::new();
    for (mesh, key) in join_all(asking).await {
        match key {
            Ok(spec) => found.push(Target { mesh, spec }),
            Err(Error::Ambiguous { candidates, .. }) => {
                let all = candidates.join("; ");
                return Err(format!("several members have this name, use a key: {all}"));
            }
            Err(_) => (),
        }
    }
    if found.len() > 1 {
        let slugs: Vec<_> = found.iter().map(|one| one.mesh.slug.as_str()).collect();
        let (all, first) = (slugs.join(", "), slugs[0]);
        return Err(format!("found in several meshes ({all}): write {first}:NAME for one of them"));
    }
    if let Some(target) = found.pop() {
        return Ok(target);
    }
    let unasked: Vec<_> = lists
        .iter()
        .filter_map(|(mesh, peers)| {
            peers.as_ref().err().map(|problem| format!("{}: {problem}", mesh.slug))
        })
        .collect();
    if unasked.is_empty() {
        Err("nobody has this name; list_peers says who is here".into())
    } else {
        Err(format!("nobody has this name, as far as could be asked ({})", unasked.join("; ")))
    }
}
