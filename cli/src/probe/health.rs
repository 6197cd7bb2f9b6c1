//! What an edge says of itself over HTTP: `/health`, `/metrics`, and which time it has.

use std::time::Duration;

use jiff::fmt::rfc2822;
use reqwest::header::DATE;
use reqwest::{Client, Response};
use skein_openapi::health::Health;

use super::{Fault, PATIENCE};
use crate::rest::{self, http_of};
use crate::time;

/// A hello is refused when clocks differ by more.
const SKEW_MAX: Duration = skein_wire::limit::HELLO_SKEW;
/// When they differ by more, it is worth a remark.
const SKEW_NAMED: Duration = Duration::from_secs(20);
/// When they differ by less, nobody can tell: dates have whole seconds.
const SAME: Duration = Duration::from_secs(2);
/// An older snapshot is warned of, in seconds.
const SNAPSHOT_MAX_S: f64 = 300.0;
/// A longer `autovacuum_naptime` is named, in seconds.
const NAPTIME_MAX_S: f64 = 5.0;

/// What an edge said of itself.
#[derive(Debug, Clone)]
pub struct Said {
    /// How it is.
    pub health: Health,
    /// How far its clock is ahead of ours, in milliseconds; dates have whole seconds.
    pub ahead_ms: Option<i64>,
}

/// What is not wrong and yet worth a word.
pub type Remark = Option<String>;

/// What came of asking.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The edge spoke.
    Said(Said),
    /// Something else did: perhaps what stands before the edge.
    Other(Fault),
    /// Nobody did.
    None(Fault),
}

/// Asks the edge of this socket URL how it is.
pub async fn ask(url: &str) -> Result<Said, Fault> {
    match answer(url).await {
        Answer::Said(said) => Ok(said),
        Answer::Other(fault) | Answer::None(fault) => Err(fault),
    }
}

/// The same, where it matters who answers.
pub async fn answer(url: &str) -> Answer {
    let before = time::now_ms();
    let response = match get(url, "/health").await {
        Ok(response) => response,
        Err(fault) => return Answer::None(fault),
    };
    let middle = before + (time::now_ms() - before) / 2;
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| rfc2822::parse(date).ok());
    let ahead_ms = date.map(|date| date.timestamp().as_millisecond() - middle);
    let status = response.status();
    match response.json::<Health>().await {
        Ok(health) => Answer::Said(Said { health, ahead_ms }),
        Err(_) => Answer::Other(Fault::new(
            format!("what answers there ({status}) is no edge of Skein"),
            "correct the host or the port; behind a proxy, pass /ws, /health, /join and /v1 on",
        )),
    }
}

async fn get(url: &str, path: &str) -> Result<Response, Fault> {
    let base = http_of(url).unwrap_or_default();
    let asked = match client() {
        Ok(client) => client.get(format!("{base}{path}")).send().await,
        Err(error) => Err(error),
    };
    asked.map_err(|error| {
        let is_plain = base.starts_with("http:");
        let fix = if error.is_timeout() {
            "the port is open and nothing answers: look at the edge's log, or start it again"
        } else if is_plain {
            "is this the edge's port? If it speaks TLS, its URL begins with wss://"
        } else {
            "look at the edge's log, and at what stands between here and it"
        };
        Fault::new(rest::reason(&error), fix)
    })
}

fn client() -> reqwest::Result<Client> {
    rest::client_builder().timeout(PATIENCE).build()
}

/// Judges the clock by what the edge said; returns words for it.
pub fn clock(said: &Said) -> Result<(String, Remark), Fault> {
    let Some(ahead_ms) = said.ahead_ms else {
        return Ok(("the edge says no time; the hello will tell".into(), None));
    };
    // Dates are cut to seconds: half of one is missing in the mean.
    let ahead_ms = ahead_ms + 500;
    let off = Duration::from_millis(ahead_ms.unsigned_abs());
    let side = if ahead_ms > 0 { "behind" } else { "ahead of" };
    let words = format!("this machine is {} {side} the edge", span(off));
    if off > SKEW_MAX {
        return Err(skewed(words));
    }
    let most = SKEW_MAX.as_secs();
    let remark =
        (off > SKEW_NAMED).then(|| format!("set the clock: a hello may be off by {most} s"));
    Ok(if off > SAME { (words, remark) } else { ("as the edge's".into(), None) })
}

/// The fault of a clock that is off, and by how much.
pub fn skewed(words: String) -> Fault {
    let fix = "set this machine's clock (`timedatectl set-ntp true`); if it is right, the edge's \
               is wrong";
    Fault::new(words, fix)
}

fn span(off: Duration) -> String {
    match off.as_secs() {
        s @ ..120 => format!("{s} s"),
        s @ ..7200 => format!("{} min", (s + 30) / 60),
        s @ ..172_800 => format!("{} h", (s + 1800) / 3600),
        s => format!("{} days", (s + 43_200) / 86_400),
    }
}

/// Judges the database as the edge sees it; what slows delivery without failing is a remark.
pub async fn database(url: &str, said: &Said) -> Result<(String, Remark), Fault> {
    if said.health.db != "up" {
        let what = format!("{}: the edge's database is {}", said.health.status, said.health.db);
        return Err(away(what));
    }
    // An edge that does not tell its measures is as well as it says.
    let page = match get(url, "/metrics").await {
        Ok(response) => response.text().await.unwrap_or_default(),
        Err(_) => String::new(),
    };
    Ok(judge(&page))
}

/// The fault of a database that does not answer its edge.
pub fn away(what: impl Into<String>) -> Fault {
    let fix = "start PostgreSQL and look at its log; the edge finds it again by itself, and \
               nothing that was acknowledged is lost";
    Fault::new(what, fix)
}

/// A snapshot that old widens every look for undelivered messages and stops vacuum; a vacuum that
/// looks rarely lets the table of deliveries grow.
fn judge(page: &str) -> (String, Remark) {
    let measured = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok())
    };
    let Some(snapshot_s) = measured("skein_oldest_snapshot_seconds") else {
        return ("up".into(), None);
    };
    if snapshot_s > SNAPSHOT_MAX_S {
        let words = format!("up, with a snapshot that is {snapshot_s:.0} s old");
        let remark = "end the transaction that was left open; pg_stat_activity names it";
        return (words, Some(remark.into()));
    }
    match measured("skein_autovacuum_naptime_seconds") {
        Some(naptime_s) if naptime_s > NAPTIME_MAX_S => {
            let words = format!("up, autovacuum_naptime {naptime_s:.0} s");
            let remark = format!("set autovacuum_naptime to {NAPTIME_MAX_S:.0} s or less");
            (words, Some(remark))
        }
        _ => ("up".into(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(snapshot: &str, naptime: &str) -> String {
        format!(
            "# HELP x\nskein_oldest_snapshot_seconds {snapshot}\n\
             skein_autovacuum_naptime_seconds {naptime}\n"
        )
    }

    #[test]
    fn an_old_snapshot_and_a_long_naptime_are_named() {
        assert_eq!(judge(&page("12", "5")), ("up".into(), None));
        assert_eq!(judge(""), ("up".into(), None));
        let old = judge(&page("301", "5"));
        assert!(old.0.contains("301 s") && old.1.unwrap().contains("pg_stat_activity"));
        let lazy = judge(&page("0", "60"));
        assert!(lazy.0.contains("60 s") && lazy.1.unwrap().contains("autovacuum_naptime"));
    }

    #[test]
    fn a_clock_is_judged_by_what_a_hello_allows() {
        let said = |ahead_ms| {
            let health = Health {
                status: "ok".into(),
                db: "up".into(),
                version: String::new(),
                git_sha: String::new(),
                uptime: 0,
            };
            Said { health, ahead_ms }
        };
        for fine in [None, Some(0), Some(-1400), Some(15_000)] {
            assert_eq!(clock(&said(fine)).unwrap().1, None, "{fine:?}");
        }
        assert_eq!(clock(&said(Some(15_000))).unwrap().0, "this machine is 15 s behind the edge");
        for near in [30_000, -60_000] {
            assert!(clock(&said(Some(near))).unwrap().1.is_some(), "{near}");
        }
        let behind = clock(&said(Some(90_000))).unwrap_err();
        assert_eq!(behind.what, "this machine is 90 s behind the edge");
        let ahead = clock(&said(Some(-7_300_000))).unwrap_err();
        assert_eq!(ahead.what, "this machine is 2 h ahead of the edge");
    }
}
