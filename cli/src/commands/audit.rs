//! `skein audit`: what happened in the mesh, and whether its log is as it was written.
//!
//! `verify` trusts no edge: it downloads the log and computes every hash here. It remembers the last
//! hash that it saw, so that the next time it also knows whether the log it is shown is the one that
//! it was shown before: a log that was written anew from the start verifies, and is another.

use std::fs;
use std::path::Path;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use skein_crypto::audit::{Chain, Link};
use skein_openapi::audit::{AuditEntries, AuditEntry};

use super::Context;
use crate::files;
use crate::output::{harmless, short};
use crate::rest::Rest;
use crate::{Error, Result};

/// Entries that are asked for at once.
const PAGE: usize = 1000;

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what happened, newest first.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Only this event, such as message_sent, state_set or member_revoked.
        #[arg(long, value_name = "EVENT")]
        event: Option<String>,
        /// Only entries with a smaller number.
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
        before: Option<i64>,
    },
    /// Download the log and compute its hashes here; name the first entry that is not as written.
    Verify,
}

/// Runs `skein audit`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    let membership = context.membership()?;
    let rest = Rest::of(&membership)?;
    match command {
        Command::List { limit, event, before } => {
            let limit = usize::try_from(limit).unwrap_or(PAGE);
            let log = list(&rest, &membership.mesh_id, limit, event.as_deref(), before).await?;
            context.out.print(&log, |out| {
                for entry in &log.entries {
                    writeln!(
                        out,
                        "{}  {}  {}  {} {}  {}",
                        entry.no,
                        entry.created_at,
                        context.out.bold(&harmless(&entry.event_type)),
                        harmless(&entry.actor),
                        context.out.dim(short(&harmless(&entry.actor_id))),
                        harmless(&entry.payload),
                    )?;
                }
                writeln!(out, "{} of {}", log.entries.len(), log.total)
            })
        }
        Command::Verify => {
            let path = context.home.audit_head(&membership.mesh_id);
            let seen = Seen::read(&path)?;
            let verified = verify(&rest, &membership.mesh_id, seen.as_ref()).await?;
            show(context, &verified)?;
            if let Some(problem) = &verified.problem {
                let what = format!("the audit log is broken at entry {}: {problem}", verified.at);
                let fix = "ask whoever runs the deployment; a copy of its database may have more";
                return Err(Error::Unwell { what, fix: fix.into() });
            }
            Seen { no: verified.chain.no(), hash: verified.chain.hash().to_owned() }.write(&path)
        }
    }
}

/// The newest entries, page by page.
async fn list(
    rest: &Rest,
    mesh_id: &str,
    limit: usize,
    event: Option<&str>,
    before: Option<i64>,
) -> Result<AuditEntries> {
    let mut all = AuditEntries { entries: Vec::new(), total: 0, next: before };
    loop {
        let most = (limit - all.entries.len()).min(PAGE);
        let mut path = format!("/v1/meshes/{mesh_id}/audit?limit={most}");
        if let Some(before) = all.next {
            path += &format!("&before={before}");
        }
        if let Some(event) = event {
            path += &format!("&eventType={}", encoded(event));
        }
        let page: AuditEntries = rest.get(&path).await?;
        all.entries.extend(page.entries);
        (all.total, all.next) = (page.total, page.next);
        if all.next.is_none() || all.entries.len() >= limit {
            return Ok(all);
        }
    }
}

/// A text within a query.
fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let one = |byte: u8| match plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// The end of a log, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    no: u64,
    hash: String,
}

impl Seen {
    fn read(path: &Path) -> Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::at(path)(error)),
        };
        let damaged = |error: serde_json::Error| Error::Damaged {
            path: path.to_owned(),
            detail: error.to_string(),
        };
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).expect("it has string keys only");
        if let Some(folder) = path.parent() {
            files::make_dir(folder).map_err(Error::at(folder))?;
        }
        files::write(path, text.as_bytes()).map_err(Error::at(path))
    }
}

/// What came of computing a log again.
struct Verified {
    /// As far as it is right.
    chain: Chain,
    /// How many entries the server says there are.
    total: u64,
    /// The entry at which it is broken.
    at: u64,
    /// How, if it is.
    problem: Option<String>,
}

/// Downloads a log and computes it again.
async fn verify(rest: &Rest, mesh_id: &str, seen: Option<&Seen>) -> Result<Verified> {
    let mut checked = Checked { chain: Chain::start(mesh_id), seen };
    loop {
        let after = checked.chain.no();
        let path = format!("/v1/meshes/{mesh_id}/audit?after={after}&limit={PAGE}");
        let page: AuditEntries = rest.get(&path).await?;
        let total = u64::try_from(page.total).unwrap_or(0);
        let mut broken = checked.take(&page.entries).err();
        if broken.is_none() && page.next.is_none() {
            broken = checked.end(total).err();
            if broken.is_none() {
                return Ok(Verified { at: 0, chain: checked.chain, total, problem: None });
            }
        }
        if let Some((at, problem)) = broken {
            return Ok(Verified { at, chain: checked.chain, total, problem: Some(problem) });
        }
        if checked.chain.no() == after {
            return Err(Error::Unexpected("a page of the audit log that says nothing".into()));
        }
    }
}

/// A log that is computed again, and what was seen of it before.
struct Checked<'a> {
    chain: Chain,
    seen: Option<&'a Seen>,
}

impl Checked<'_> {
    fn take(&mut self, entries: &[AuditEntry]) -> std::result::Result<(), (u64, String)> {
        for entry in entries {
            let link = Link {
                no: u64::try_from(entry.no).unwrap_or(0),
                event_type: &entry.event_type,
                actor: &entry.actor_id,
                payload: &entry.payload,
                created_at: &entry.created_at,
                hash: &entry.hash,
            };
            let wrong = "it is changed, missing or moved";
            self.chain.take(&link).map_err(|no| (no, wrong.to_owned()))?;
            if let Some(seen) =
                self.seen.filter(|seen| seen.no == link.no && seen.hash != link.hash)
            {
                let wrong = "it had another hash when this home last looked: it, or one before it, \
                             was written anew";
                return Err((seen.no, wrong.into()));
            }
        }
        Ok(())
    }

    /// Whether this can be the end of a log that has `total` entries.
    fn end(&self, total: u64) -> std::result::Result<(), (u64, String)> {
        let last = self.chain.no();
        if last < total {
            return Err((last + 1, format!("it is missing: the log has {total}")));
        }
        match self.seen {
            Some(seen) if seen.no > last => {
                Err((last + 1, format!("it is missing: this home has seen {} entries", seen.no)))
            }
            _ => Ok(()),
        }
    }
}

fn show(context: &Context, verified: &Verified) -> Result<()> {
    let (no, hash) = (verified.chain.no(), verified.chain.hash());
    let broken_at = verified.problem.as_ref().map(|_| verified.at);
    let shown = json!({
        "valid": broken_at.is_none(), "entries": verified.total, "brokenAt": broken_at,
        "problem": verified.problem, "last": {"no": no, "hash": hash},
    });
    context.out.print(&shown, |out| match broken_at {
        None => writeln!(out, "{no} entries, each as it was written; the last hash is {hash}"),
        Some(_) => writeln!(out, "{no} entries are as they were written; then it breaks."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of this many entries.
    fn log(n: i64) -> Vec<AuditEntry> {
        let mut chain = Chain::start("m");
        let entry = |no: i64| {
            let (event_type, actor_id, at) = ("state_set", "a", "2026-01-01T00:00:00.000Z");
            let payload = format!("{{\"key\":\"k{no}\",\"value\":1}}");
            let hash = chain.append(event_type, actor_id, &payload, at).to_owned();
            let (event_type, actor_id) = (event_type.to_owned(), actor_id.to_owned());
            let (actor, created_at) = ("Ann".to_owned(), at.to_owned());
            AuditEntry { no, event_type, actor_id, actor, payload, created_at, hash }
        };
        (1..=n).map(entry).collect()
    }

    fn check(entries: &[AuditEntry], total: u64, seen: Option<&Seen>) -> Option<u64> {
        let mut checked = Checked { chain: Chain::start("m"), seen };
        let outcome = checked.take(entries).and_then(|()| checked.end(total));
        outcome.err().map(|(at, _)| at)
    }

    #[test]
    fn a_log_is_right_only_if_it_is_whole_and_the_one_that_was_seen() {
        let log = log(5);
        let seen = |no: usize| Seen { no: no as u64, hash: log[no - 1].hash.clone() };
        let other = |no| Seen { no, hash: "0".repeat(64) };
        let mut changed = log.clone();
        changed[2].payload = "{}".into();

        assert_eq!(check(&log, 5, None), None);
        assert_eq!(check(&log, 5, Some(&seen(3))), None);
        assert_eq!(check(&changed, 5, None), Some(3));
        assert_eq!(check(&log[..3], 5, None), Some(4), "the end is cut off");
        assert_eq!(
            check(&log[..3], 3, Some(&seen(5))),
            Some(4),
            "and the server says nothing of it"
        );
        assert_eq!(check(&log, 5, Some(&other(4))), Some(4), "a log that was written anew");
    }

    #[test]
    fn an_event_is_one_word_of_the_query() {
        assert_eq!(encoded("state_set"), "state_set");
        assert_eq!(encoded("a&b=ä"), "a%26b%3D%C3%A4");
    }
}
