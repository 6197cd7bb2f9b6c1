//! State: values under keys that the mesh shares.

use serde_json::value::to_raw_value;
use skein_wire::mesh_info::MeshInfo;
use skein_wire::state::{Entry, GetState, ListState, SetState, StateList};

use super::arguments::{Kind, MESH, count, optional, required, text, value};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;

/// Keys that a list shows, so that it leaves an agent room to think.
const KEYS_SHOWN_MAX: usize = 200;
/// What is shown of a value in a list.
const SHOWN_CHARS_MAX: usize = 400;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "set_state",
        description: "Set a key that all peers share; they are told. In every mesh. With if_version \
                      only if nobody changed it since you read that version.",
        parameters: &[
            required("key", Kind::Text, "The key"),
            required("value", Kind::Any, "Any JSON value"),
            optional("if_version", Kind::Count, "Only if the key has this version"),
            optional("ttl_seconds", Kind::Count, "The key is gone after so long"),
        ],
        effect: Effect::Sets,
        run: |call| Box::pin(set(call)),
    },
    Tool {
        name: "get_state",
        description: "Read a key that the peers share: its value, who set it, when, its version.",
        parameters: &[required("key", Kind::Text, "The key"), MESH],
        effect: Effect::Reads,
        run: |call| Box::pin(get(call)),
    },
    Tool {
        name: "list_state",
        description: "The keys that the peers share, with their values; long ones are cut.",
        parameters: &[MESH],
        effect: Effect::Reads,
        run: |call| Box::pin(list(call)),
    },
];

async fn set(call: Call) -> Reply {
    let key = text(&call.arguments, "key").unwrap_or_default();
    let given = value(&call.arguments, "value").cloned().unwrap_or_default();
    let value = to_raw_value(&given).map_err(|error| error.to_string())?;
    let number = |name: &str| count(&call.arguments, name).map(|n| n as u64);
    let set = SetState {
        key: key.to_owned(),
        value,
        if_version: number("if_version"),
        ttl_seconds: number("ttl_seconds"),
    };
    let done = format!("State set: {} = {}", fence::line(key), fence::line(set.value.get()));
    call.everywhere(|mesh| {
        let (set, done) = (set.clone(), done.clone());
        async move { Ok(format!("{done}{}", mesh.tell(&set).await?)) }
    })
    .await
}

async fn get(call: Call) -> Reply {
    let key = text(&call.arguments, "key").unwrap_or_default().to_owned();
    let shown = fence::line(&key);
    let found = call.mesh()?.ask(&GetState { key }).await?;
    if found.key.is_empty() || found.updated_by.is_empty() && found.version.is_none() {
        return Err(format!("no key \"{shown}\" in the shared state"));
    }
    let version = found.version.map(|version| format!(", version {version}")).unwrap_or_default();
    let until = found.expires_at.map(|at| format!(", until {}", fence::line(&at)));
    let set = format!(
        "(set by {} at {}{version}{})",
        fence::line(&found.updated_by),
        fence::line(&found.updated_at),
        until.unwrap_or_default(),
    );
    let value = found.value.get();
    Ok(match fence::is_few(value) {
        true => format!("{shown} = {} {set}", fence::line(value)),
        false => fence::behind(&format!("{shown} {set}:"), value, &fence::mark()),
    })
}

async fn list(call: Call) -> Reply {
    let mesh = call.mesh()?;
    let StateList { entries, more } = mesh.ask(&ListState { prefix: None, after: None }).await?;
    if entries.is_empty() {
        return Ok("No shared state.".into());
    }
    let mark = fence::mark();
    let n_shown = entries.len().min(KEYS_SHOWN_MAX);
    let mut lines: Vec<_> = entries[..n_shown].iter().map(|entry| line(entry, &mark)).collect();
    let n_keys = match more {
        // Not all of them came; how many there are is said elsewhere.
        Some(true) => mesh.ask(&MeshInfo {}).await?.state_keys.len(),
        _ => entries.len(),
    };
    if n_keys > n_shown {
        let left_out = n_keys - n_shown;
        lines.push(format!("{left_out} more keys are left out; get_state reads one by its name"));
    }
    Ok(lines.join("\n"))
}

fn line(entry: &Entry, mark: &str) -> String {
    let (key, by) = (fence::line(&entry.key), fence::line(&entry.updated_by));
    let value = entry.value.get();
    if fence::is_few(value) {
        return format!("{key} = {} (by {by})", fence::line(value));
    }
    let n_chars = value.chars().count();
    let cut = fence::cut(value.to_owned(), SHOWN_CHARS_MAX);
    fence::behind(&format!("{key} (by {by}, {n_chars} characters):"), &cut, mark)
}
