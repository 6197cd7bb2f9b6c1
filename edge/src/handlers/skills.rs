//! Skills: share, read, list, remove.

use skein_sql::skills::{self, Outcome};
use skein_wire::{
    Code, limit,
    skills::{
        GetSkill, ListSkills, RemoveSkill, Request, ShareSkill, SkillAck, SkillData, SkillList,
    },
};

use super::{Context, Error, Result, fitting, tags, within};

/// Serves one skills message.
pub async fn handle(ctx: &Context<'_>, request: Request) -> Result<Option<String>> {
    match request {
        Request::ShareSkill(call) => share(ctx, &call).await,
        Request::GetSkill(call) => get(ctx, &call).await,
        Request::ListSkills(call) => list(ctx, &call).await,
        Request::RemoveSkill(call) => remove(ctx, &call).await,
    }
}

async fn share(ctx: &Context<'_>, call: &ShareSkill) -> Result<Option<String>> {
    within("name", call.name.len(), limit::SKILL_NAME_BYTES_MAX)?;
    if call.name.is_empty() || call.name.chars().any(char::is_control) {
        let why = "`name` is empty, or has control characters";
        return Err(Error::Refused(Code::InvalidMessage, why.to_owned()));
    }
    within("description", call.description.len(), limit::SKILL_DESCRIPTION_BYTES_MAX)?;
    within("instructions", call.instructions.len(), limit::SKILL_INSTRUCTIONS_BYTES_MAX)?;
    tags(call.tags.as_deref().unwrap_or_default())?;
    let mut db = ctx.db().await?;
    let transaction = db.transaction().await.map_err(skein_sql::Error::from)?;
    match skills::share(&transaction, ctx.session.mesh, ctx.session.member, call).await? {
        Outcome::Done => {
            transaction.commit().await.map_err(skein_sql::Error::from)?;
            Ok(ctx.reply::<ShareSkill>(&ack(&call.name, "shared")))
        }
        Outcome::Taken(author) => Err(taken(&call.name, &author)),
        // It was its author's until a moment ago.
        Outcome::Absent => Err(Code::Forbidden.into()),
        Outcome::Full(n) => {
            let max = limit::SKILLS_MAX;
            let why = format!("the mesh has {n} skills, at most {max}; remove some");
            Err(Error::Refused(Code::SkillsFull, why))
        }
    }
}

async fn remove(ctx: &Context<'_>, call: &RemoveSkill) -> Result<Option<String>> {
    let db = ctx.db().await?;
    let (mesh, member) = (ctx.session.mesh, ctx.session.member);
    let action = match skills::remove(&db, mesh, member, &call.name).await? {
        Outcome::Done => "removed",
        // The contract knows no other word for what was not removed.
        Outcome::Taken(author) if ctx.session.caps.replies => {
            return Err(taken(&call.name, &author));
        }
        _ => "not_found",
    };
    Ok(ctx.reply::<RemoveSkill>(&ack(&call.name, action)))
}

fn ack(name: &str, action: &str) -> SkillAck {
    SkillAck { name: name.to_owned(), action: action.to_owned() }
}

fn taken(name: &str, author: &str) -> Error {
    let why = format!("the skill `{name}` is {author}'s; only they and admins change it");
    Error::Refused(Code::SkillTaken, why)
}

async fn get(ctx: &Context<'_>, call: &GetSkill) -> Result<Option<String>> {
    let skill = skills::get(&ctx.db().await?, ctx.session.mesh, &call.name).await?;
    Ok(ctx.reply::<GetSkill>(&SkillData { skill }))
}

async fn list(ctx: &Context<'_>, call: &ListSkills) -> Result<Option<String>> {
    let query = call.query.as_deref().unwrap_or_default();
    within("query", query.len(), limit::RECALL_QUERY_BYTES_MAX)?;
    let found = skills::list(&ctx.db().await?, ctx.session.mesh, query).await?;
    Ok(ctx.reply::<ListSkills>(&SkillList { skills: fitting(found) }))
}
