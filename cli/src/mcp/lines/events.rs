//! System events, one line each.

use serde_json::Value;

use super::{Line, Place, quoted};
use crate::client::message::Event;
use crate::mcp::fence;
use crate::time;

/// What happened in a mesh; `now` is in Unix milliseconds.
pub fn event(place: Place<'_>, event: &Event, now: i64) -> Line {
    let mut meta = vec![
        ("kind", "system".to_owned()),
        ("event", fence::line(&event.event)),
        ("mesh_slug", place.slug.to_owned()),
        ("mesh_id", place.id.to_owned()),
    ];
    let is_empty = event.event_data.as_object().is_none_or(|data| data.is_empty());
    if !is_empty {
        meta.push(("eventData", fence::line(&event.event_data.to_string())));
    }
    Line::new(words(event, now), meta)
}

/// The same without a place: one line, in which nothing of a peer steers a terminal or a host.
pub fn words(event: &Event, now: i64) -> String {
    let data = Data(&event.event_data);
    match event.event.as_str() {
        "tick" => format!(
            "[heartbeat] tick {} | sim time: {} | speed: x{}",
            data.word("tick"),
            clock(&data.word("simTime")),
            data.word("speed"),
        ),
        "peer_joined" => format!("[system] Peer {} joined the mesh", data.quoted("name")),
        "peer_left" => format!("[system] Peer {} left the mesh", data.quoted("name")),
        "peer_returned" => returned(data, now),
        "mcp_registered" => format!(
            "[system] MCP server {} was registered by {}{}",
            data.quoted("serverName"),
            data.word("hostedBy"),
            data.list("tools").map(|tools| format!("; tools: {tools}")).unwrap_or_default(),
        ),
        "mcp_unregistered" => format!(
            "[system] MCP server {} of {} was removed",
            data.quoted("serverName"),
            data.word("hostedBy"),
        ),
        "mcp_restored" => format!(
            "[system] MCP server {} of {} is back",
            data.quoted("serverName"),
            data.word("hostedBy"),
        ),
        "watch_triggered" => {
            let (old, new) = (data.few("oldValue"), data.few("newValue"));
            format!("[WATCH] {}: {old} → {new}", data.watched())
        }
        "watch_failing" => format!(
            "[WATCH] {}: {} checks in a row failed, the last with: {}",
            data.watched(),
            data.word("failures"),
            data.few("error"),
        ),
        "watch_recovered" => format!("[WATCH] {}: checks succeed again", data.watched()),
        "schedule_failed" => format!(
            "[SCHEDULE] {} for {} could not be delivered: {}{}",
            data.word("scheduledId"),
            data.word("to"),
            data.few("message"),
            match data.word("code") {
                code if code.is_empty() => code,
                code => format!(" ({code})"),
            },
        ),
        "mcp_deployed" => format!(
            "[SERVICE] {} deployed ({} tools) by {}",
            data.quoted("name"),
            data.word("tool_count"),
            data.word("deployed_by"),
        ),
        "mcp_undeployed" => {
            format!("[SERVICE] {} undeployed by {}", data.quoted("name"), data.word("by"))
        }
        "mcp_scope_changed" => format!(
            "[SERVICE] {} has the scope {}, set by {}",
            data.quoted("name"),
            data.word("scope"),
            data.word("by"),
        ),
        other => {
            let json = fence::line(&event.event_data.to_string());
            format!("[system] {}: {json}", fence::line(other))
        }
    }
}

fn returned(data: Data<'_>, now: i64) -> String {
    let mut said = format!("[system] Welcome back: peer {} is here again", data.quoted("name"));
    let last_seen = data.0.get("lastSeenAt").and_then(Value::as_str).and_then(time::parse_iso);
    if let Some(seen) = last_seen {
        said += &format!(", last seen {}", ago(now - seen));
    }
    let groups = data.0.get("groups").and_then(Value::as_array).into_iter().flatten();
    let groups: Vec<_> = groups
        .filter_map(|group| {
            let name = fence::line(group.get("name")?.as_str()?);
            let role = group.get("role").and_then(Value::as_str).map(fence::line);
            Some(role.map_or_else(|| format!("@{name}"), |role| format!("@{name} ({role})")))
        })
        .collect();
    if !groups.is_empty() {
        said += &format!("; groups: {}", groups.join(", "));
    }
    let summary = data.word("summary");
    if !summary.is_empty() {
        said += &format!("; summary: {summary}");
    }
    said
}

/// How long ago that was, in words.
fn ago(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    match minutes {
        0 => "just now".to_owned(),
        1..60 => format!("{minutes} min ago"),
        60..1440 => format!("{} h ago", minutes / 60),
        _ => format!("{} d ago", minutes / 1440),
    }
}

/// `2026-01-01T00:00:00.000Z` as `2026-01-01 00:00:00`.
fn clock(iso: &str) -> String {
    iso.replacen('T', " ", 1).chars().take(19).collect()
}

/// What an event says, field by field, harmless within a line.
#[derive(Clone, Copy)]
struct Data<'a>(&'a Value);

impl Data<'_> {
    /// A string as it is, anything else as JSON, nothing as an empty text.
    fn word(self, field: &str) -> String {
        match self.0.get(field) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => fence::line(text),
            Some(other) => fence::line(&other.to_string()),
        }
    }

    fn quoted(self, field: &str) -> String {
        quoted(&self.word(field))
    }

    /// The first words of a text.
    fn few(self, field: &str) -> String {
        fence::few(&self.word(field))
    }

    /// What a watch is called, or looks at.
    fn watched(self) -> String {
        let label = Some(self.word("label")).filter(|label| !label.is_empty());
        fence::few(&label.unwrap_or_else(|| self.word("url")))
    }

    fn list(self, field: &str) -> Option<String> {
        let items = self.0.get(field)?.as_array()?;
        let items: Vec<_> = items.iter().filter_map(Value::as_str).map(fence::line).collect();
        (!items.is_empty()).then(|| items.join(", "))
    }
}
