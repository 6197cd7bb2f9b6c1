//! Skills: instructions that peers share under a name.

use skein_wire::skills::{GetSkill, ListSkills, RemoveSkill, ShareSkill};

use super::arguments::{Kind, MESH, optional, required, text, texts};
use super::{Call, Effect, Reply, Tool};
use crate::mcp::fence;

pub const TOOLS: &[Tool] = &[
    Tool {
        name: "share_skill",
        description: "Share instructions under a name, for every peer to follow. Sharing again \
                      replaces your own; another's name is refused.",
        parameters: &[
            required("name", Kind::Text, "Its name"),
            required("description", Kind::AnyText, "What it is for, in a sentence"),
            required("instructions", Kind::AnyText, "What to do, as Markdown"),
            optional("tags", Kind::Texts, "What it can be found by"),
            MESH,
        ],
        effect: Effect::Sets,
        run: |call| Box::pin(share(call)),
    },
    Tool {
        name: "get_skill",
        description: "Read a skill that a peer shared: what it is for, and its instructions.",
        parameters: &[required("name", Kind::Text, "Its name"), MESH],
        effect: Effect::Reads,
        run: |call| Box::pin(get(call)),
    },
    Tool {
        name: "list_skills",
        description: "The skills of the mesh, or those that have a word in the name, the \
                      description or a tag.",
        parameters: &[optional("query", Kind::Text, "The word"), MESH],
        effect: Effect::Reads,
        run: |call| Box::pin(list(call)),
    },
    Tool {
        name: "remove_skill",
        description: "Remove a skill of yours; admins may remove any.",
        parameters: &[required("name", Kind::Text, "Its name"), MESH],
        effect: Effect::Sets,
        run: |call| Box::pin(remove(call)),
    },
];

fn name(call: &Call) -> String {
    text(&call.arguments, "name").unwrap_or_default().to_owned()
}

async fn share(call: Call) -> Reply {
    let word = |name: &str| text(&call.arguments, name).unwrap_or_default().to_owned();
    let share = ShareSkill {
        name: name(&call),
        description: word("description"),
        instructions: word("instructions"),
        tags: texts(&call.arguments, "tags"),
    };
    let ack = call.mesh()?.act(&share).await?;
    Ok(format!("Skill shared: \"{}\"", fence::name(&ack.name)))
}

async fn get(call: Call) -> Reply {
    let name = name(&call);
    let shown = fence::name(&name);
    let Some(skill) = call.mesh()?.ask(&GetSkill { name }).await?.skill else {
        return Err(format!("no skill \"{shown}\""));
    };
    let mut heading = format!(
        "# Skill \"{}\"\nBy \"{}\", since {}",
        fence::name(&skill.name),
        fence::name(&skill.author),
        fence::line(&skill.created_at),
    );
    if !skill.tags.is_empty() {
        heading += &format!("\nTags: {}", fence::few(&skill.tags.join(", ")));
    }
    let body = format!("{}\n\n{}", skill.description, skill.instructions);
    Ok(format!("{heading}\n{}", fence::around(&body, &fence::mark())))
}

async fn list(call: Call) -> Reply {
    let query = text(&call.arguments, "query").map(str::to_owned);
    let skills = call.mesh()?.ask(&ListSkills { query }).await?.skills;
    if skills.is_empty() {
        return Ok("No skills.".into());
    }
    let mark = fence::mark();
    let lines = skills.iter().map(|skill| {
        let tags = match skill.tags.is_empty() {
            true => String::new(),
            false => format!(" [{}]", fence::few(&skill.tags.join(", "))),
        };
        let (name, author) = (fence::name(&skill.name), fence::name(&skill.author));
        let what = &skill.description;
        match fence::is_few(what) {
            true => format!("\"{name}\": {}{tags} (by \"{author}\")", fence::line(what)),
            false => fence::behind(&format!("\"{name}\"{tags} (by \"{author}\"):"), what, &mark),
        }
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

async fn remove(call: Call) -> Reply {
    let name = name(&call);
    let shown = fence::name(&name);
    let ack = call.mesh()?.act(&RemoveSkill { name }).await?;
    match ack.action.as_str() {
        "removed" => Ok(format!("Skill removed: \"{shown}\"")),
        _ => Err(format!("no skill \"{shown}\"")),
    }
}
