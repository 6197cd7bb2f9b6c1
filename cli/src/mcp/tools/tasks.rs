//! Tasks: pieces of work that the peers of a mesh share.

use skein_wire::tasks::{ClaimTask, CompleteTask, CreateTask, ListTasks, Task};

use super::arguments::{Kind, MESH, count, optional, required, text, texts};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "create_task",
        description: "Make a task that a peer can claim.",
        parameters: &[
            required("title", Kind::Text, "What is to be done"),
            optional("assignee", Kind::Text, "Whom it is for: a peer's name or @group"),
            optional(
                "priority",
                Kind::Word(&["low", "normal", "high", "urgent"]),
                "How urgent; normal if left out",
            ),
            optional("tags", Kind::Texts, "Its tags"),
            MESH,
        ],
        effect: Effect::Acts,
        run: |call| Box::pin(create(call)),
    },
    Tool {
        name: "claim_task",
        description: "Take an open task. One peer gets it; you are told if it was not you.",
        parameters: &[
            required("id", Kind::Text, "The task's id"),
            optional(
                "lease_seconds",
                Kind::Count,
                "Give it back by itself after this time, or when this session is gone",
            ),
            MESH,
        ],
        effect: Effect::Acts,
        run: |call| Box::pin(claim(call)),
    },
    Tool {
        name: "complete_task",
        description: "Say that a task is done, and what came of it.",
        parameters: &[
            required("id", Kind::Text, "The task's id"),
            optional("result", Kind::AnyText, "What came of it"),
            MESH,
        ],
        effect: Effect::Acts,
        run: |call| Box::pin(complete(call)),
    },
    Tool {
        name: "list_tasks",
        description: "The tasks of the mesh, newest first.",
        parameters: &[
            optional("status", Kind::Word(&["open", "claimed", "completed"]), "Only these"),
            optional("assignee", Kind::Text, "Only those for exactly this assignee"),
            MESH,
        ],
        effect: Effect::Reads,
        run: |call| Box::pin(list(call)),
    },
];

fn id(call: &Call) -> String {
    text(&call.arguments, "id").unwrap_or_default().to_owned()
}

async fn create(call: Call) -> Reply {
    let given = |name| text(&call.arguments, name).map(str::to_owned);
    let request = CreateTask {
        title: given("title").unwrap_or_default(),
        assignee: given("assignee"),
        priority: given("priority"),
        tags: texts(&call.arguments, "tags"),
        depends_on: None,
    };
    let created = call.mesh()?.act(&request).await?;
    let title = fence::line(&request.title);
    let assignee = request.assignee.map(|name| format!(", for {}", fence::line(&name)));
    let assignee = assignee.unwrap_or_default();
    Ok(format!("Task created ({}): {title}{assignee}", fence::line(&created.id)))
}

async fn claim(call: Call) -> Reply {
    let seconds = count(&call.arguments, "lease_seconds");
    // What is longer than the server allows is refused there, with its limit.
    let lease_seconds = seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
    let request = ClaimTask { task_id: id(&call), lease_seconds, holder: None };
    let task = call.mesh()?.act(&request).await?.task;
    let until = task.and_then(|task| task.leased_until);
    let until = until.map(|at| format!(", until {}", fence::line(&at))).unwrap_or_default();
    Ok(format!("Task {} is yours{until}.", fence::line(&request.task_id)))
}

async fn complete(call: Call) -> Reply {
    let result = text(&call.arguments, "result").map(str::to_owned);
    let request = CompleteTask { task_id: id(&call), result, if_held: None };
    call.mesh()?.act(&request).await?;
    Ok(format!("Task {} is done.", fence::line(&request.task_id)))
}

async fn list(call: Call) -> Reply {
    let given = |name| text(&call.arguments, name).map(str::to_owned);
    // `done` is what every server has stored; ours knows `completed` too.
    let status = given("status").map(|word| match word.as_str() {
        "completed" => "done".to_owned(),
        _ => word,
    });
    let tasks = call.mesh()?.ask(&ListTasks { status, assignee: given("assignee") }).await?.tasks;
    if tasks.is_empty() {
        return Ok("No tasks.".into());
    }
    let mark = fence::mark();
    let lines: Vec<_> = tasks.iter().map(|task| line(task, &mark)).collect();
    Ok(format!("{} task(s):\n{}", lines.len(), lines.join("\n")))
}

/// A task; a long title stands below it.
fn line(task: &Task, mark: &str) -> String {
    let (status, priority) = (fence::line(&task.status), fence::line(&task.priority));
    let mut text = format!("- {} \"{}\"", fence::line(&task.id), fence::few(&task.title));
    text += &format!(" [{status}] {priority}");
    let named = |what: &str, name: &Option<String>| {
        name.as_ref().map(|name| format!(", {what} \"{}\"", fence::name(name))).unwrap_or_default()
    };
    text += &named("for", &task.assignee);
    text += &named("claimed by", &task.claimed_by);
    text += &named("made by", &task.created_by);
    if let Some(n) = task.waits_for.filter(|n| *n > 0) {
        text += &format!(", waits for {n} other(s)");
    }
    if !task.tags.is_empty() {
        text += &format!(", tags {}", fence::few(&task.tags.join(", ")));
    }
    match fence::is_few(&task.title) {
        true => text,
        false => fence::behind(&format!("{text}, in full:"), &task.title, mark),
    }
}
