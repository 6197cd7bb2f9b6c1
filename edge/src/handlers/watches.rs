//! URL watches: make, end, list, and try one.
//!
//! A watch is its member's. What may be looked at is refused here already, with the guard's reason;
//! the guard is asked again at every check, since names lead elsewhere later. Headers are sealed
//! before they reach the database.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use skein_fetch::{Fetcher, Refused, outcome, value};
use skein_sql::{
    audit::{self, Actor},
    duties::{self, Kind},
    watches::{self, Created, New},
};
use skein_wire::{
    Code, Refusal,
    audit::Event,
    limit,
    watches::{
        ListWatches, Mode, NotifyOn, Request, TestWatch, Unwatch, Watch, WatchAck, WatchList,
        WatchTested, Watched,
    },
};
use tracing::warn;

use super::{Context, Error, Result, fitting, groups::is_path};
use crate::watches::NoRoom;

/// Serves one watches message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::Watch(call) => Ok(ctx.reply::<Watch>(&watch(ctx, &call).await?)),
        Request::Unwatch(call) => Ok(ctx.reply::<Unwatch>(&unwatch(ctx, call).await?)),
        Request::ListWatches(_) => Ok(ctx.reply::<ListWatches>(&list(ctx).await?)),
        Request::TestWatch(call) => test(ctx, call).await.map(|()| None),
    }
}

async fn watch(ctx: &Context<'_>, call: &Watch) -> Result<WatchAck> {
    let (session, mode) = (ctx.session, call.mode.unwrap_or_default());
    let Asked { extract, headers } =
        asked(ctx, &call.url, call.extract.as_deref(), call.headers.as_ref())?;
    let notify_on = notify_on(call.notify_on.as_deref())?;
    let label = call.label.as_deref().filter(|label| !label.is_empty());
    bounded("label", label.unwrap_or_default(), limit::WATCH_LABEL_BYTES_MAX)?;
    let group = call.group.as_deref().map(group).transpose()?;
    let interval = interval(call.interval)?;
    let sealed = headers.map(|headers| ctx.node.watches.seal(headers));
    let names: Vec<String> = headers.into_iter().flatten().map(|(name, _)| name.clone()).collect();

    let new = New {
        member: session.member,
        url: &call.url,
        mode,
        extract,
        interval_s: interval,
        notify_on,
        headers: sealed.as_deref(),
        header_names: &names,
        label,
        group,
    };
    let mut db = ctx.db().await?;
    let transaction = db.transaction().await.map_err(skein_sql::Error::from)?;
    let id = match watches::create(&transaction, session.mesh, new).await? {
        Created::Made(id) => id,
        Created::MeshFull => return Err(full("a mesh", limit::WATCHES_MAX)),
        Created::MemberFull => return Err(full("a member", limit::WATCHES_PER_MEMBER_MAX)),
        Created::NoMember => return Err(Code::Unauthorized.into()),
    };
    let spec = group.map(|path| format!("@{path}"));
    let url = audited(&call.url);
    let event = Event::WatchCreated { watch_id: &id, url, group: spec.as_deref() };
    let actor = Actor::Member(session.member, &session.name);
    audit::add(&transaction, session.mesh, actor, event).await?;
    transaction.commit().await.map_err(skein_sql::Error::from)?;
    // The first check is due at once; without this it would be within a minute.
    if let Err(error) = duties::wake(&db, Kind::Watch).await {
        warn!(error = error.brief(), "workers were not woken for a watch");
    }
    Ok(WatchAck { watch_id: id, url: call.url.clone(), mode: mode.as_str().to_owned(), interval })
}

type Headers = BTreeMap<String, String>;

/// What a check asks for beside its URL; neither is there and empty.
struct Asked<'a> {
    extract: Option<&'a str>,
    headers: Option<&'a Headers>,
}

/// What a check asks for, once it is known that it can be asked for.
fn asked<'a>(
    ctx: &Context<'_>,
    url: &str,
    extract: Option<&'a str>,
    headers: Option<&'a Headers>,
) -> Result<Asked<'a>> {
    if url.len() > limit::WATCH_URL_BYTES_MAX {
        let max = limit::WATCH_URL_BYTES_MAX;
        let why = format!("the URL is {} bytes, at most {max}", url.len());
        return Err(Error::Refused(Code::InvalidUrl, why));
    }
    let guard = ctx.node.watches.fetcher.guard();
    guard.check_url(url).map_err(refused)?;
    let extract = extract.filter(|extract| !extract.is_empty());
    if let Some(extract) = extract {
        bounded("extract", extract, limit::FETCH_PATH_BYTES_MAX)?;
        value::check(extract).map_err(|error| invalid(format!("`extract`: {error}")))?;
    }
    let headers = headers.filter(|headers| !headers.is_empty());
    if let Some(headers) = headers {
        let n_bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if n_bytes > limit::WATCH_HEADERS_BYTES_MAX {
            let max = limit::WATCH_HEADERS_BYTES_MAX;
            return Err(invalid(format!("`headers` are {n_bytes} bytes, at most {max}")));
        }
        guard.check_headers(headers).map_err(|error| invalid(format!("`headers`: {error}")))?;
    }
    Ok(Asked { extract, headers })
}

fn refused(refused: Refused) -> Error {
    let code = match refused {
        Refused::TooLong | Refused::Invalid(_) | Refused::Scheme(_) => Code::InvalidUrl,
        _ => Code::UrlRefused,
    };
    Error::Refused(code, refused.to_string())
}

fn invalid(why: String) -> Error {
    Error::Refused(Code::InvalidWatch, why)
}

fn full(whose: &str, max: i64) -> Error {
    Error::Refused(Code::WatchLimit, format!("{whose} has at most {max} watches; end some"))
}

/// Refuses a text that is too long, or that would break the line it is shown in.
fn bounded(field: &str, text: &str, max: usize) -> Result<()> {
    if text.len() > max || text.chars().any(char::is_control) {
        return Err(invalid(format!("`{field}` is over {max} bytes, or has control characters")));
    }
    Ok(())
}

fn notify_on(text: Option<&str>) -> Result<&str> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or("change");
    match NotifyOn::parse(text) {
        Some(NotifyOn::Change) => Ok(text),
        Some(NotifyOn::Match(value) | NotifyOn::NotMatch(value)) => {
            let max = limit::WATCH_MATCH_BYTES_MAX;
            let why = || invalid(format!("the value of `notify_on` is over {max} bytes"));
            if value.len() <= max { Ok(text) } else { Err(why()) }
        }
        None => {
            let why = "`notify_on` is `change`, `match:<value>` or `not_match:<value>`";
            Err(invalid(why.to_owned()))
        }
    }
}

/// The path of a group that is told.
fn group(text: &str) -> Result<&str> {
    let path = text.strip_prefix('@').unwrap_or(text);
    if is_path(path) {
        return Ok(path);
    }
    Err(invalid("`group` is no group, such as `@dev/backend`".to_owned()))
}

/// Too few seconds count as the fewest, as in the reference.
fn interval(asked: Option<u32>) -> Result<u32> {
    let max = limit::WATCH_INTERVAL_SECONDS_MAX;
    match asked.unwrap_or(limit::WATCH_INTERVAL_SECONDS) {
        seconds if seconds > max => Err(invalid(format!("`interval` is at most {max} seconds"))),
        seconds => Ok(seconds.max(limit::WATCH_INTERVAL_SECONDS_MIN)),
    }
}

/// A URL as the audit log has it: what is behind the path may be a secret.
fn audited(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

async fn unwatch(ctx: &Context<'_>, call: Unwatch) -> Result<WatchAck> {
    let (session, watch_id) = (ctx.session, call.watch_id);
    let mut db = ctx.db().await?;
    let transaction = db.transaction().await.map_err(skein_sql::Error::from)?;
    let Some(found) = watches::read(&transaction, session.mesh, &watch_id).await? else {
        if session.caps.replies {
            return Err(Code::WatchNotFound.into());
        }
        // What the contract says of one that is not there.
        return Ok(WatchAck { watch_id, url: String::new(), mode: String::new(), interval: 0 });
    };
    if !watches::delete(&transaction, session.mesh, &watch_id, session.member).await? {
        let why = "only who made the watch, and admins, can end it";
        return Err(Error::Refused(Code::Forbidden, why.to_owned()));
    }
    let event = Event::WatchDeleted { watch_id: &watch_id, url: audited(&found.url) };
    let actor = Actor::Member(session.member, &session.name);
    audit::add(&transaction, session.mesh, actor, event).await?;
    transaction.commit().await.map_err(skein_sql::Error::from)?;
    let mode = found.mode.as_str().to_owned();
    Ok(WatchAck { watch_id, url: found.url, mode, interval: 0 })
}

async fn list(ctx: &Context<'_>) -> Result<WatchList> {
    let session = ctx.session;
    let mut watches = watches::list(&ctx.db().await?, session.mesh, session.member).await?;
    if !session.caps.replies {
        // Extensions go to those that know them.
        watches = watches.into_iter().map(Watched::plain).collect();
    }
    let n_all = watches.len();
    let watches = fitting(watches);
    let more = u32::try_from(n_all - watches.len()).unwrap_or(u32::MAX);
    Ok(WatchList { watches, more: (more > 0).then_some(more) })
}

/// Makes one check, and answers when it is done: what else this session says does not wait for it.
/// It ends with its session, whom nobody else can answer for.
async fn test(ctx: &Context<'_>, call: TestWatch) -> Result<()> {
    let Asked { extract, headers } =
        asked(ctx, &call.url, call.extract.as_deref(), call.headers.as_ref())?;
    let session = ctx.session.clone();
    let request = skein_fetch::Request {
        url: call.url.clone(),
        headers: headers.cloned().unwrap_or_default(),
        member: Some(session.member),
        ..skein_fetch::Request::default()
    };
    let (extract, mode) = (extract.map(str::to_owned), call.mode.unwrap_or_default());
    let room = ctx.node.watches.tests.room(session.member).map_err(|none| match none {
        NoRoom::AtOnce => Code::TooManyCalls,
        NoRoom::Rate => Code::RateLimited,
    })?;
    let event = Event::WatchTested { url: audited(&call.url) };
    let actor = Actor::Member(session.member, &session.name);
    audit::add(&ctx.db().await?, session.mesh, actor, event).await?;
    let (stop, fetcher) = (ctx.node.stop.clone(), ctx.node.watches.fetcher.clone());
    let req_id = ctx.req_id.map(str::to_owned);
    tokio::spawn(async move {
        let _room = room;
        let frame = tokio::select! {
            biased;
            tested = tested(&fetcher, &request, mode, extract.as_deref()) => {
                skein_wire::encode(&tested, req_id.as_deref())
            }
            () = stop.cancelled() => {
                skein_wire::encode(&Refusal::new(Code::Unavailable), req_id.as_deref())
            }
            () = session.out.closed.cancelled() => return,
        };
        session.out.frame(frame);
    });
    Ok(())
}

async fn tested(
    fetcher: &Arc<Fetcher>,
    request: &skein_fetch::Request,
    mode: Mode,
    extract: Option<&str>,
) -> WatchTested {
    let since = Instant::now();
    let fetched = fetcher.get(request).await;
    let mut tested = WatchTested {
        url: request.url.clone(),
        final_url: request.url.clone(),
        status: 0,
        value: String::new(),
        hash: String::new(),
        content_type: None,
        bytes: 0,
        ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
        error: None,
    };
    match fetched {
        Err(error) => tested.error = Some(outcome::why(&error.to_string())),
        Ok(response) => {
            tested.final_url.clone_from(&response.final_url);
            tested.status = response.status;
            tested.content_type.clone_from(&response.content_type);
            tested.bytes = response.n_bytes() as u64;
            tested.ms = u64::try_from(response.took.as_millis()).unwrap_or(u64::MAX);
            let (value, _) = outcome::read(mode, extract.map(str::to_owned), response).await;
            match value {
                Ok(value) => (tested.value, tested.hash) = (value.text, value.hash),
                Err(why) => tested.error = Some(outcome::why(&why)),
            }
        }
    }
    tested
}
