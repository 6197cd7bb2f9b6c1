//! `skein watch`: addresses on the web that the mesh looks at, and tells when they change.
//!
//! A watch is the member's: what it tells comes to a session of the member, as mail that waits.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use clap::Subcommand;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use skein_wire::hello::WATCHES;
use skein_wire::watches::{
    Health, ListWatches, Mode, NotifyOn, TestWatch, Unwatch, Watch, WatchAck, WatchTested, Watched,
};

use super::ids::WATCH;
use super::{Context, attach};
use crate::client::Client;
use crate::output::{Output, harmless};
use crate::when;
use crate::{Error, Result};

/// A check may take 10 s.
const TEST_PATIENCE: Duration = Duration::from_secs(15);

/// What to do with watches.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at a URL again and again.
    Add {
        /// What to look at, and how.
        #[command(flatten)]
        look: Look,
        /// How often: 30s, 5m, 1h.
        #[arg(long, value_name = "LENGTH", default_value = "30s", value_parser = when::span)]
        every: Duration,
        /// What to tell of: `change`, `match:VALUE` (it became this), `not_match:VALUE` (it is this
        /// no more).
        #[arg(long, value_name = "WHAT", default_value = "change", value_parser = notify)]
        on: String,
        /// What to call it in what it tells.
        #[arg(long)]
        label: Option<String>,
        /// Tell this group too.
        #[arg(long, value_name = "@GROUP")]
        group: Option<String>,
    },
    /// List yours, with what they saw last.
    List,
    /// Show one.
    Show {
        /// Its id, or how that begins.
        id: String,
    },
    /// Look at a URL once, and show what a watch would see.
    Test {
        /// What to look at, and how.
        #[command(flatten)]
        look: Look,
    },
    /// End one.
    Rm {
        /// Its id, or how that begins.
        id: String,
    },
}

/// What to look at, and how.
#[derive(Debug, clap::Args)]
pub struct Look {
    /// An http or https URL that the servers of the mesh may ask.
    url: String,
    /// What of the answer is compared: a hash of its body, a value in its JSON, or its status.
    /// Left out: `json` with --extract, else `hash`.
    #[arg(long, value_name = "MODE", value_parser = ["hash", "json", "status"])]
    mode: Option<String>,
    /// Where in the JSON the value is: `a.b`, or JSONPath from `$`.
    #[arg(long, value_name = "PATH")]
    extract: Option<String>,
    /// A header to send: `Name: value`; may be given again. It is sealed at the server and never
    /// shown again.
    #[arg(long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(String, String)>,
}

impl Look {
    fn mode(&self) -> Option<Mode> {
        let implied = self.extract.as_ref().map(|_| Mode::Json);
        self.mode.as_deref().and_then(Mode::parse).or(implied)
    }

    fn headers(&self) -> Option<BTreeMap<String, String>> {
        (!self.headers.is_empty()).then(|| self.headers.iter().cloned().collect())
    }
}

/// Runs `skein watch`.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    let zone = when::zone(None).map_err(Error::Usage)?;
    match command {
        Command::Add { look, every, on, label, group } => {
            let call = Watch {
                mode: look.mode(),
                headers: look.headers(),
                url: look.url,
                extract: look.extract,
                interval: Some(u32::try_from(every.as_secs()).unwrap_or(u32::MAX)),
                notify_on: Some(on),
                label,
                group,
            };
            let attached = attach::attach(context, &context.membership()?).await?;
            let made = made(&attached.client, &call).await;
            attached.client.close().await;
            let ack = made?;
            let shown = json!({
                "watchId": ack.watch_id, "url": ack.url, "mode": ack.mode,
                "interval": ack.interval,
            });
            context.out.print(&shown, |out| {
                let (url, every) = (harmless(&ack.url), ack.interval);
                writeln!(out, "Watching {url} every {every} s.  {}", context.out.dim(&ack.watch_id))
            })
        }
        Command::List => {
            let listed = attach::ask(context, &ListWatches {}).await?;
            let (all, more) = (listed.watches, listed.more.unwrap_or(0));
            context.out.print(&json!({"watches": all, "more": more}), |out| {
                if all.is_empty() && more == 0 {
                    return writeln!(out, "No watches. `skein watch add URL` makes one.");
                }
                all.iter().try_for_each(|one| words(one, &context.out, &zone, out))?;
                context.out.more(more, out)
            })
        }
        Command::Show { id } => show(context, &id, &zone).await,
        Command::Test { look } => test(context, look).await,
        Command::Rm { id } => remove(context, &id).await,
    }
}

async fn made(client: &Client, call: &Watch) -> Result<WatchAck> {
    if call.group.is_some() && !client.serves(WATCHES) {
        return Err(unsupported("tells no group of what a watch sees", "leave --group out"));
    }
    Ok(client.request(call).await?)
}

fn unsupported(what: &str, fix: &str) -> Error {
    let what = format!("this server is of the old kind: it {what}");
    Error::Unsupported { what, fix: fix.into() }
}

async fn show(context: &Context, id: &str, zone: &TimeZone) -> Result<()> {
    let listed = attach::ask(context, &ListWatches {}).await?;
    let ids = listed.watches.iter().map(|one| one.id.clone()).collect();
    let id = WATCH.find(id, ids, listed.more.unwrap_or(0))?;
    let found = listed.watches.into_iter().find(|one| one.id == id);
    let one = found.ok_or_else(|| WATCH.unknown(&id))?;
    context.out.print(&one, |out| {
        words(&one, &context.out, zone, out)?;
        let headers = one.headers.as_ref().filter(|names| !names.is_empty());
        let headers = headers.map(|names| format!("{} (values are never shown)", names.join(", ")));
        let rows = [
            ("notify", one.notify_on.clone()),
            ("group", one.group.clone()),
            ("headers", headers),
            ("answer", one.last_status.map(|status| format!("HTTP {status}"))),
            ("made", moment(&one.created_at, zone)),
        ];
        rows.iter().try_for_each(|(what, value)| match value {
            Some(value) => writeln!(out, "  {what:<8} {}", harmless(value)),
            None => Ok(()),
        })
    })
}

async fn test(context: &Context, look: Look) -> Result<()> {
    let call = TestWatch {
        mode: look.mode(),
        headers: look.headers(),
        url: look.url,
        extract: look.extract,
    };
    let membership = context.membership()?;
    let attached = attach::attach(context, &membership).await?;
    let seen = match attached.client.serves(WATCHES) {
        true => attached.client.request_within(&call, TEST_PATIENCE).await.map_err(Error::from),
        false => Err(unsupported("tries no watch", "`skein watch add URL` makes one")),
    };
    attached.client.close().await;
    let seen = seen?;
    context.out.print(&seen, |out| tested(&seen, out))?;
    match seen.error {
        None => Ok(()),
        Some(error) => Err(Error::Unwell {
            what: format!("the check failed: {error}"),
            fix: "a watch of this URL would find no value".into(),
        }),
    }
}

fn tested(seen: &WatchTested, out: &mut dyn Write) -> io::Result<()> {
    if seen.status == 0 {
        return writeln!(out, "No answer from {} in {} ms.", harmless(&seen.url), seen.ms);
    }
    let kind = seen.content_type.as_deref().map(|kind| format!(", {kind}")).unwrap_or_default();
    let (status, bytes, ms) = (seen.status, seen.bytes, seen.ms);
    writeln!(out, "HTTP {status}, {bytes} bytes{} in {ms} ms", harmless(&kind))?;
    if seen.final_url != seen.url {
        writeln!(out, "  from     {}", harmless(&seen.final_url))?;
    }
    if seen.error.is_none() {
        writeln!(out, "  value    {}", harmless(&seen.value).replace('\n', " "))?;
        writeln!(out, "  hash     {}", harmless(&seen.hash))?;
    }
    Ok(())
}

async fn remove(context: &Context, id: &str) -> Result<()> {
    let membership = context.membership()?;
    let attached = attach::attach(context, &membership).await?;
    let ended = async {
        let watch_id = match WATCH.is_whole(id) {
            true => id.to_owned(),
            false => {
                let listed = attached.client.request(&ListWatches {}).await?;
                let ids = listed.watches.into_iter().map(|one| one.id).collect();
                WATCH.find(id, ids, listed.more.unwrap_or(0))?
            }
        };
        Ok::<_, Error>(attached.client.request(&Unwatch { watch_id }).await?)
    };
    let ended = ended.await;
    attached.client.close().await;
    let ended = ended?;
    if ended.url.is_empty() {
        return Err(WATCH.unknown(id));
    }
    let shown = json!({"watchId": ended.watch_id, "url": ended.url, "removed": true});
    context.out.print(&shown, |out| writeln!(out, "{} is watched no more.", harmless(&ended.url)))
}

/// A watch in a few lines.
fn words(one: &Watched, how: &Output, zone: &TimeZone, out: &mut dyn Write) -> io::Result<()> {
    let label = one.label.as_deref().unwrap_or(&one.url);
    let health = match (one.status, one.failures) {
        (Some(Health::Failing), Some(n)) if n > 1 => format!("failing, {n} times"),
        (Some(Health::Failing), _) => "failing".to_owned(),
        _ if one.last_check.is_none() => "not looked at yet".to_owned(),
        _ => "ok".to_owned(),
    };
    writeln!(out, "{}  {health}  {}", how.bold(&harmless(label)), how.dim(&harmless(&one.id)))?;
    let path = one.extract.as_deref().map(|path| format!(" {path}")).unwrap_or_default();
    let look = format!("{}{path} of {}, every {} s", one.mode.as_str(), one.url, one.interval);
    let value = one.last_check.as_ref().map(|_| one.last_value.clone());
    let rows = [
        ("look", Some(look)),
        ("value", value.filter(|value| !value.is_empty())),
        ("error", one.last_error.clone()),
        ("last", one.last_check.as_deref().and_then(|at| moment(at, zone))),
        ("next", one.next_check.as_deref().and_then(|at| moment(at, zone))),
    ];
    rows.iter().try_for_each(|(what, value)| match value {
        Some(value) => writeln!(out, "  {what:<8} {}", harmless(value).replace('\n', " ")),
        None => Ok(()),
    })
}

/// A moment of the wire: how far it is, and what the reader's clock shows then.
fn moment(iso: &str, zone: &TimeZone) -> Option<String> {
    iso.parse().ok().map(|at| when::both(at, Timestamp::now(), zone))
}

fn notify(text: &str) -> std::result::Result<String, String> {
    let known = NotifyOn::parse(text).map(|_| text.to_owned());
    known.ok_or_else(|| "it is `change`, `match:VALUE` or `not_match:VALUE`".to_owned())
}

fn header(text: &str) -> std::result::Result<(String, String), String> {
    let parts = text.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
    let parts = parts.filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or_else(|| "a header is `Name: value`".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}
