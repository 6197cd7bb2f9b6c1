//! `skein doctor`: what could be wrong, checked, with what to do about it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Serialize;
use skein_openapi::health::Health;

use super::{Context, attach};
use crate::client::inbox::Shown;
use crate::home::{Lifetime, Membership};
use crate::rest::{Rest, Signer, http_of};
use crate::{Error, Result};

/// An older snapshot is warned of, in seconds.
const SNAPSHOT_MAX_S: f64 = 300.0;
/// A longer `autovacuum_naptime` is named, in seconds.
const NAPTIME_MAX_S: f64 = 5.0;

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    check: String,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    fn good(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check: check.into(), ok: true, detail: detail.into(), hint: None }
    }

    fn bad(check: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        let hint = Some(hint.into());
        Self { check: check.into(), ok: false, detail: detail.into(), hint }
    }
}

/// Runs `skein doctor`; ends with 1 when a check fails.
pub async fn run(context: &Context, Args {}: Args) -> Result<()> {
    let mut checks = vec![private(context.home.dir())];
    match context.memberships() {
        Ok(all) if all.is_empty() => {
            let hint = "join one with `skein join LINK`, or start one with `skein up`";
            checks.push(Check::bad("memberships", "none", hint));
        }
        Ok(all) => {
            let count = all.len();
            checks.push(Check::good("memberships", format!("{count}, all readable")));
            for membership in &all {
                mesh(context, membership, &mut checks).await;
            }
        }
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            checks.push(Check::bad("memberships", error.to_string(), hint));
        }
    }
    context.out.print(&checks, |out| {
        for check in &checks {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            writeln!(out, "{mark}  {}: {}", context.out.bold(&check.check), check.detail)?;
            if let Some(hint) = &check.hint {
                writeln!(out, "      {hint}")?;
            }
        }
        Ok(())
    })?;
    match checks.iter().filter(|check| !check.ok).count() {
        0 => Ok(()),
        failed => Err(Error::Unwell(failed)),
    }
}

fn private(dir: &Path) -> Check {
    let name = "home";
    match fs::metadata(dir) {
        Ok(meta) if meta.permissions().mode() & 0o077 == 0 => {
            Check::good(name, format!("{}, for you alone", dir.display()))
        }
        Ok(_) => Check::bad(
            name,
            format!("others may look into {}", dir.display()),
            format!("chmod 700 {}", dir.display()),
        ),
        Err(error) => Check::bad(name, error.to_string(), "set SKEIN_HOME to a folder of yours"),
    }
}

async fn mesh(context: &Context, membership: &Membership, checks: &mut Vec<Check>) {
    let slug = &membership.slug;
    let inbox = Shown::open(&context.home.inbox(&membership.mesh_id)).and_then(|one| one.all());
    checks.push(match inbox {
        Ok(all) => Check::good(format!("{slug}: inbox"), format!("{} messages", all.len())),
        Err(error) => {
            let hint = "free space, or correct the permissions of the home";
            Check::bad(format!("{slug}: inbox"), error.to_string(), hint)
        }
    });
    for edge in &membership.edges {
        checks.push(health(slug, edge).await);
    }
    checks.extend(database(membership).await);
    let attached = match attach::start(context, membership, Lifetime::Short) {
        Ok(attached) => attached,
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            return checks.push(Check::bad(format!("{slug}: session"), error.to_string(), hint));
        }
    };
    let ready = attached.client.ready(attach::PATIENCE).await;
    let edge = attached.client.edge().unwrap_or_default();
    attached.client.close().await;
    checks.push(match ready {
        Ok(()) => Check::good(format!("{slug}: hello"), format!("accepted by {edge}")),
        Err(error) => {
            let hint = match &error {
                Error::Refused { code, .. } if code == "unauthorized" => {
                    "this member was revoked, or the mesh is gone; ask for a new invite"
                }
                _ if error.to_string().contains("timestamp_skew") => "set this machine's clock",
                _ => "start the deployment, or check the network between here and there",
            };
            Check::bad(format!("{slug}: hello"), error.to_string(), hint)
        }
    });
}

/// How the database is, as an edge measures it: what slows delivery down without failing.
async fn database(membership: &Membership) -> Option<Check> {
    let bases = membership.edges.iter().filter_map(|edge| http_of(edge)).collect();
    let page = Rest::new(bases, Signer::Nobody).ok()?.text("/metrics").await.ok()?;
    let measured = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok())
    };
    Some(judge(
        &membership.slug,
        measured("skein_oldest_snapshot_seconds")?,
        measured("skein_autovacuum_naptime_seconds")?,
    ))
}

/// A snapshot that old widens every look for undelivered messages and stops vacuum; a vacuum that
/// looks rarely lets the table of deliveries grow.
fn judge(slug: &str, snapshot_s: f64, naptime_s: f64) -> Check {
    let name = format!("{slug}: database");
    if snapshot_s > SNAPSHOT_MAX_S {
        let detail = format!("its oldest snapshot is {snapshot_s:.0} s old");
        let hint = "end the transaction that was left open; pg_stat_activity names it";
        return Check::bad(name, detail, hint);
    }
    let mut check = Check::good(name, format!("oldest snapshot {snapshot_s:.0} s"));
    if naptime_s > NAPTIME_MAX_S {
        check.detail += &format!(", autovacuum_naptime {naptime_s:.0} s");
        let hint = format!("set autovacuum_naptime to {NAPTIME_MAX_S:.0} s or less");
        check.hint = Some(hint);
    }
    check
}

async fn health(slug: &str, edge: &str) -> Check {
    let name = format!("{slug}: {edge}");
    let Some(base) = http_of(edge) else {
        return Check::bad(name, "is no ws(s) URL", "join again with a new link");
    };
    let asked = match Rest::new(vec![base], Signer::Nobody) {
        Ok(rest) => rest.get::<Health>("/health").await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(health) if health.status == "ok" => {
            Check::good(name, format!("ok, version {}, up {} s", health.version, health.uptime))
        }
        Ok(health) => {
            let detail = format!("{}, database {}", health.status, health.db);
            Check::bad(name, detail, "look at the edge's log, and at its database")
        }
        Err(error) => {
            let hint = "other edges are used meanwhile, if there are any";
            Check::bad(name, error.to_string(), hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn an_old_snapshot_is_a_fault_and_a_long_naptime_is_named() {
        assert!(judge("m", 12.0, 5.0).ok && judge("m", 12.0, 5.0).hint.is_none());
        assert!(!judge("m", 301.0, 5.0).ok);
        let lazy = judge("m", 0.0, 60.0);
        assert!(lazy.ok && lazy.detail.contains("60 s") && lazy.hint.is_some());
    }
}
