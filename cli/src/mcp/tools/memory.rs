//! Memory: what the mesh keeps, found again by its words.

use skein_wire::memory::{Forget, Match, MatchKind, Memory, Recall, Remember};

use super::arguments::{Kind, MESH, optional, required, text, texts};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;

/// Characters of a new memory that are said back.
const SHOWN_CHARS: usize = 80;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "remember",
        description: "Keep a text for everybody in the mesh, to be recalled by its words later, \
                      also by other sessions.",
        parameters: &[
            required("content", Kind::Text, "The text"),
            optional("tags", Kind::Texts, "Words that it is to be found by as well"),
            MESH,
        ],
        effect: Effect::Acts,
        run: |call| Box::pin(remember(call)),
    },
    Tool {
        name: "recall",
        description: "Find what anybody in the mesh remembered. All words must be in it; if \
                      nothing has them, words that begin so or are spelled alike are found.",
        parameters: &[required("query", Kind::Text, "A few telling words"), MESH],
        effect: Effect::Reads,
        run: |call| Box::pin(recall(call)),
    },
    Tool {
        name: "forget",
        description: "Have a memory forgotten for everybody: one of your own, or any if you are \
                      an admin.",
        parameters: &[required("id", Kind::Text, "The memory's id, as recall shows it"), MESH],
        effect: Effect::Sets,
        run: |call| Box::pin(forget(call)),
    },
];

async fn remember(call: Call) -> Reply {
    let content = text(&call.arguments, "content").unwrap_or_default().to_owned();
    let shown: String = fence::line(&content).chars().take(SHOWN_CHARS).collect();
    let request = Remember { content, tags: texts(&call.arguments, "tags") };
    let stored = call.mesh()?.act(&request).await?;
    Ok(format!("Remembered ({}): {shown}", fence::line(&stored.id)))
}

async fn recall(call: Call) -> Reply {
    let query = text(&call.arguments, "query").unwrap_or_default().to_owned();
    let memories = call.mesh()?.ask(&Recall { query }).await?.memories;
    if memories.is_empty() {
        return Ok("Nothing was found.".into());
    }
    let mark = fence::mark();
    let lines: Vec<_> = memories.iter().map(|memory| block(memory, &mark)).collect();
    Ok(format!("{} found:\n{}", lines.len(), lines.join("\n")))
}

fn block(memory: &Memory, mark: &str) -> String {
    let (id, by) = (fence::line(&memory.id), fence::name(&memory.remembered_by));
    let at = fence::line(&memory.remembered_at);
    let tags = match memory.tags.is_empty() {
        true => String::new(),
        false => format!(", tags {}", fence::few(&memory.tags.join(", "))),
    };
    let why = memory.found.as_ref().map(why).unwrap_or_default();
    format!("- id {id} by \"{by}\" at {at}{tags}{why}\n{}", fence::around(&memory.content, mark))
}

/// Why it was found, where that needs to be said: the words themselves speak for themselves.
fn why(found: &Match) -> String {
    let terms = fence::line(&found.terms.join(", "));
    match found.kind {
        MatchKind::Words => String::new(),
        MatchKind::Prefix => format!(", found by how words begin: {terms}"),
        MatchKind::Similar => format!(", found by words that are alike: {terms}"),
    }
}

async fn forget(call: Call) -> Reply {
    let memory_id = text(&call.arguments, "id").unwrap_or_default().to_owned();
    let shown = fence::line(&memory_id);
    call.mesh()?.act(&Forget { memory_id }).await?;
    Ok(format!("Forgotten: {shown}"))
}
