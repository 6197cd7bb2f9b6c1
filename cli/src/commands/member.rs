//! `skein member`: who joined the mesh, what each may do, and the end of a membership.

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use skein_openapi::members::{Grant, Member, RoleChange};

use super::{Context, mesh};
use crate::home::Membership;
use crate::output::{harmless, short};
use crate::rest::Rest;
use crate::{Error, Result};

/// Shorter beginnings of keys are not looked up.
const PREFIX_CHARS_MIN: usize = 8;

/// What to do with members.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List everybody who joined, in that order.
    List,
    /// Give a member another role; the owner may.
    Role {
        /// A name, a key or its beginning, or a member's id.
        member: String,
        /// What it may do from now on.
        #[arg(value_enum)]
        role: Granted,
    },
    /// Remove a member: its sockets are closed everywhere, and its key never joins again.
    Remove {
        /// A name, a key or its beginning, or a member's id.
        member: String,
        /// Do it; without this, it is only said who is meant.
        #[arg(long)]
        yes: bool,
    },
}

/// A role that can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Granted {
    /// Invites members and removes them.
    Admin,
    /// Takes part.
    Member,
}

/// Runs `skein member`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    let membership = context.membership()?;
    let rest = Rest::of(&membership)?;
    let members = mesh::members(&rest, &membership.mesh_id).await?.members;
    match command {
        Command::List => list(context, &membership, &members),
        Command::Role { member, role } => {
            let member = find(&members, &member)?;
            let role = match role {
                Granted::Admin => Grant::Admin,
                Granted::Member => Grant::Member,
            };
            let path = format!("/v1/meshes/{}/members/{}", membership.mesh_id, member.id);
            let changed: Member = rest.patch(&path, &RoleChange { role }).await?;
            context.out.print(&changed, |out| {
                let name = harmless(&changed.display_name);
                writeln!(out, "{name} is {} of {}.", changed.role.as_str(), membership.slug)
            })
        }
        Command::Remove { member, yes } => {
            let member = find(&members, &member)?;
            let name = harmless(&member.display_name);
            if !yes {
                return Err(Error::Usage(format!(
                    "this would remove {name} ({}), for good; say --yes to do it",
                    short(&member.pubkey)
                )));
            }
            let path = format!("/v1/meshes/{}/members/{}", membership.mesh_id, member.id);
            rest.delete(&path).await?;
            let shown = json!({
                "memberId": member.id, "pubkey": member.pubkey,
                "displayName": member.display_name, "removed": true,
            });
            context.out.print(&shown, |out| {
                writeln!(
                    out,
                    "Removed {name} from {}. Its key does not join again.",
                    membership.slug
                )
            })
        }
    }
}

fn list(context: &Context, membership: &Membership, members: &[Member]) -> Result<()> {
    let own = membership.member()?.public.hex();
    context.out.print(&members, |out| {
        for member in members {
            let you = if member.pubkey == own { " (you)" } else { "" };
            let here = match member.peers {
                0 => member
                    .last_seen_at
                    .as_deref()
                    .map_or("never here".into(), |at| format!("last here {at}")),
                1 => "here".into(),
                count => format!("here, {count} sessions"),
            };
            writeln!(
                out,
                "{}{you}  {}  {here}  {}",
                context.out.bold(&harmless(&member.display_name)),
                member.role.as_str(),
                context.out.dim(short(&member.pubkey)),
            )?;
        }
        Ok(())
    })
}

/// The one member that is meant.
fn find<'a>(members: &'a [Member], wanted: &str) -> Result<&'a Member> {
    let lower = wanted.to_lowercase();
    let is_exact = |one: &&Member| one.pubkey == lower || one.id == wanted;
    let begins = |one: &&Member| lower.len() >= PREFIX_CHARS_MIN && one.pubkey.starts_with(&lower);
    let is_called = |one: &&Member| one.display_name.to_lowercase() == lower;
    let mut found: Vec<&Member> = members.iter().filter(is_exact).collect();
    if found.is_empty() {
        found = members.iter().filter(is_called).collect();
    }
    if found.is_empty() {
        found = members.iter().filter(begins).collect();
    }
    match found.as_slice() {
        [only] => Ok(only),
        [] => Err(Error::NotFound(format!("no member is called `{wanted}`"))),
        several => Err(Error::Ambiguous {
            what: format!("`{wanted}`"),
            candidates: several
                .iter()
                .map(|one| format!("{} = {}", harmless(&one.display_name), one.pubkey))
                .collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, key: &str) -> Member {
        serde_json::from_value(json!({
            "id": format!("id-{key}"), "pubkey": key.repeat(64), "displayName": name,
            "role": "member", "peers": 0, "joinedAt": "2026-01-01T00:00:00.000Z",
        }))
        .unwrap()
    }

    #[test]
    fn a_member_is_meant_by_name_key_beginning_or_id() {
        let members = [member("Ann", "a"), member("ann", "b"), member("Bob", "c")];
        for bob in ["bob", &"c".repeat(64), &"C".repeat(8), "id-c"] {
            assert_eq!(find(&members, bob).unwrap().display_name, "Bob", "{bob}");
        }
        assert!(matches!(find(&members, "ann"), Err(Error::Ambiguous { candidates, .. })
            if candidates.len() == 2));
        for nobody in ["", "eve", "ccc"] {
            assert!(matches!(find(&members, nobody), Err(Error::NotFound(_))), "{nobody}");
        }
    }
}
