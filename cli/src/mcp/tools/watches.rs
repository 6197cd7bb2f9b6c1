//! URL watches: addresses on the web that the mesh looks at for this session's member.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use skein_wire::hello::WATCHES;
use skein_wire::watches::{Health, ListWatches, Mode, NotifyOn, Unwatch, Watch, Watched};

use super::arguments::{Kind, MESH, and_more, count, object, optional, required, text, whole_id};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;
use crate::when;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "mesh_watch",
        description: "Watch a URL: the mesh looks at it again and again, and tells you when it \
                      changes, also after a restart.",
        parameters: &[
            required("url", Kind::Text, "An http or https URL"),
            optional(
                "mode",
                Kind::Word(&["hash", "json", "status"]),
                "What is compared: its text (hash), a value in it (json), its HTTP status",
            ),
            optional("extract", Kind::Text, "For json, where: a.b, or JSONPath from $"),
            optional("interval", Kind::Count, "Seconds between looks; 30 if left out"),
            optional("notify_on", Kind::Text, "change, match:<value> or not_match:<value>"),
            optional("headers", Kind::Object, "Headers to send; never shown again"),
            optional("label", Kind::Text, "What to call it"),
            optional("group", Kind::Text, "A @group to tell too"),
            MESH,
        ],
        effect: Effect::Acts,
        run: |call| Box::pin(watch(call)),
    },
    Tool {
        name: "mesh_unwatch",
        description: "End a watch.",
        parameters: &[required("watch_id", Kind::Text, "Its id, of mesh_watches"), MESH],
        effect: Effect::Sets,
        run: |call| Box::pin(unwatch(call)),
    },
    Tool {
        name: "mesh_watches",
        description: "Your watches: what they saw last, when, and how they are doing.",
        parameters: &[MESH],
        effect: Effect::Reads,
        run: |call| Box::pin(list(call)),
    },
];

async fn watch(call: Call) -> Reply {
    let given = |name| text(&call.arguments, name).map(str::to_owned);
    let notify_on = given("notify_on");
    if notify_on.as_deref().is_some_and(|on| NotifyOn::parse(on).is_none()) {
        return Err("`notify_on` must be change, match:<value> or not_match:<value>".into());
    }
    let extract = given("extract");
    let implied = extract.as_ref().map(|_| Mode::Json);
    let interval = count(&call.arguments, "interval");
    let request = Watch {
        url: given("url").unwrap_or_default(),
        mode: given("mode").as_deref().and_then(Mode::parse).or(implied),
        extract,
        interval: interval.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
        notify_on,
        headers: object(&call.arguments, "headers").map(headers).transpose()?,
        label: given("label"),
        group: given("group"),
    };
    let mesh = call.mesh()?;
    if request.group.is_some() && !mesh.client().await?.serves(WATCHES) {
        return Err("this server is of the old kind: it tells no group of what a watch sees; \
                    nothing was sent. Leave `group` out."
            .into());
    }
    let ack = mesh.act(&request).await?;
    let (url, mode) = (fence::line(&ack.url), fence::line(&ack.mode));
    let (id, every) = (fence::line(&ack.watch_id), ack.interval);
    Ok(format!("Watching {url} ({mode}, every {every} s): {id}"))
}

fn headers(given: &Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    let read = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        Value::Number(number) => Ok((name.clone(), number.to_string())),
        _ => Err(format!("the header `{}` must be a string", fence::line(name))),
    };
    given.iter().map(read).collect()
}

async fn unwatch(call: Call) -> Reply {
    let mesh = call.mesh()?;
    let id = text(&call.arguments, "watch_id").unwrap_or_default();
    let listed = mesh.ask(&ListWatches {}).await?;
    let ids = listed.watches.into_iter().map(|one| one.id);
    let watch_id = whole_id(id, ids, listed.more.unwrap_or(0))?;
    let ended = mesh.act(&Unwatch { watch_id }).await?;
    match ended.url.is_empty() {
        true => Err("you have no such watch; mesh_watches lists them".into()),
        false => Ok(format!("{} is watched no more.", fence::line(&ended.url))),
    }
}

async fn list(call: Call) -> Reply {
    let answer = call.mesh()?.ask(&ListWatches {}).await?;
    let (watches, more) = (answer.watches, answer.more.unwrap_or(0));
    if watches.is_empty() && more == 0 {
        return Ok("No watches.".into());
    }
    let zone = when::zone(None)?;
    let lines: Vec<_> = watches.iter().map(|one| line(one, &zone)).collect();
    Ok(format!("{} watch(es):\n{}{}", lines.len(), lines.join("\n"), and_more(more)))
}

fn line(one: &Watched, zone: &TimeZone) -> String {
    let at = |iso: &str| match iso.parse::<Timestamp>() {
        Ok(at) => {
            let now = Timestamp::now();
            format!("{} ({})", when::relative(at, now), when::absolute(at, zone))
        }
        Err(_) => fence::line(iso),
    };
    let label = one.label.as_deref().map(|label| format!("\"{}\", ", fence::name(label)));
    let (label, mode) = (label.unwrap_or_default(), one.mode.as_str());
    let (id, url, every) = (fence::line(&one.id), fence::line(&one.url), one.interval);
    let mut line = format!("- {id} {label}{url} ({mode}, every {every} s): ");
    line += &match &one.last_check {
        None => "not looked at yet".to_owned(),
        Some(last) => format!("last value {} {}", fence::few(&one.last_value), at(last)),
    };
    if one.status == Some(Health::Failing) {
        let error = one.last_error.as_deref().unwrap_or("the check fails");
        line +=
            &format!(", FAILING ({} in a row): {}", one.failures.unwrap_or(1), fence::few(error));
    }
    if let Some(next) = &one.next_check {
        line += &format!(", next {}", at(next));
    }
    line
}
