//! State: values under keys that the mesh shares.

use serde_json::value::to_raw_value;
use skein_wire::state::{Entry, GetState, ListState, SetState};

use super::arguments::{Kind, MESH, count, optional, required, text, value};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;
use crate::mcp::mesh::Mesh;

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
        description: "All keys that the peers share, with their values; long ones are cut.",
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
    Ok(format!(
        "{shown} = {} (set by {} at {}{version}{})",
        fence::line(found.value.get()),
        fence::line(&found.updated_by),
        fence::line(&found.updated_at),
        until.unwrap_or_default(),
    ))
}

async fn list(call: Call) -> Reply {
    let entries = all(&*call.mesh()?).await?;
    if entries.is_empty() {
        return Ok("No shared state.".into());
    }
    let lines = entries.iter().map(|entry| {
        let value = fence::line(entry.value.get());
        let value = match value.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((cut, _)) => format!("{}… ({} characters)", &value[..cut], value.chars().count()),
            None => value,
        };
        let (key, by) = (fence::line(&entry.key), fence::line(&entry.updated_by));
        format!("{key} = {value} (by {by})")
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// Every key, page by page.
async fn all(mesh: &Mesh) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map(|entry| entry.key.clone());
        let page = mesh.ask(&ListState { prefix: None, after }).await?;
        let is_whole = page.more != Some(true) || page.entries.is_empty();
        entries.extend(page.entries);
        if is_whole {
            return Ok(entries);
        }
    }
}
