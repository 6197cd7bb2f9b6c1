//! Contexts: what each member has learnt in its work.

use skein_wire::contexts::{Context, GetContext, ListContexts, ShareContext};

use super::arguments::{Kind, MESH, optional, required, text, texts};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "share_context",
        description: "Share what you learnt, so that others need not find it out again. It replaces \
                      what you shared before; peers are told.",
        parameters: &[
            required("summary", Kind::Text, "What it is about, and what you know now"),
            optional("files_read", Kind::Texts, "Files that you read"),
            optional("key_findings", Kind::Texts, "What you found"),
            optional("tags", Kind::Texts, "What it can be found by"),
            MESH,
        ],
        effect: Effect::Acts,
        run: |call| Box::pin(share(call)),
    },
    Tool {
        name: "get_context",
        description: "Find what peers learnt: the query stands in their summary, or is a tag.",
        parameters: &[required("query", Kind::AnyText, "A word or words; empty finds all"), MESH],
        effect: Effect::Reads,
        run: |call| Box::pin(get(call)),
    },
    Tool {
        name: "list_contexts",
        description: "What every peer shared of its work, in short, newest first.",
        parameters: &[MESH],
        effect: Effect::Reads,
        run: |call| Box::pin(list(call)),
    },
];

async fn share(call: Call) -> Reply {
    let summary = text(&call.arguments, "summary").unwrap_or_default().to_owned();
    let shown = fence::line(&summary);
    let share = ShareContext {
        summary,
        files_read: texts(&call.arguments, "files_read"),
        key_findings: texts(&call.arguments, "key_findings"),
        tags: texts(&call.arguments, "tags"),
    };
    let said = call.mesh()?.tell(&share).await?;
    Ok(format!("Context shared: {shown}{said}"))
}

async fn get(call: Call) -> Reply {
    let query = text(&call.arguments, "query").unwrap_or_default().to_owned();
    let shown = fence::line(&query);
    let found = call.mesh()?.ask(&GetContext { query }).await?.contexts;
    if found.is_empty() {
        return Ok(format!("No context has \"{shown}\"."));
    }
    let mark = fence::mark();
    let texts: Vec<_> = found.iter().map(|context| whole(context, &mark)).collect();
    Ok(texts.join("\n\n"))
}

/// A context, its parts fenced.
fn whole(context: &Context, mark: &str) -> String {
    let mut body = context.summary.clone();
    for (title, items) in [("Files", &context.files_read), ("Findings", &context.key_findings)] {
        if !items.is_empty() {
            body += &format!("\n{title}:");
            items.iter().for_each(|item| body += &format!("\n- {item}"));
        }
    }
    let (name, at) = (fence::name(&context.peer_name), fence::line(&context.updated_at));
    format!("\"{name}\" ({at}){}\n{}", tags(&context.tags), fence::around(&body, mark))
}

fn tags(tags: &[String]) -> String {
    if tags.is_empty() {
        return String::new();
    }
    format!(" [{}]", fence::few(&tags.join(", ")))
}

async fn list(call: Call) -> Reply {
    let contexts = call.mesh()?.ask(&ListContexts {}).await?.contexts;
    if contexts.is_empty() {
        return Ok("No contexts.".into());
    }
    let mark = fence::mark();
    let lines = contexts.iter().map(|context| {
        let (name, tags) = (fence::name(&context.peer_name), tags(&context.tags));
        match fence::is_few(&context.summary) {
            true => format!("\"{name}\": {}{tags}", fence::line(&context.summary)),
            false => fence::behind(&format!("\"{name}\"{tags}:"), &context.summary, &mark),
        }
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
