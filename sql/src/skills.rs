//! Skills of a mesh.
//!
//! A name belongs to its author, and admins stand above that. Both are said in the statement that
//! writes, so that of two who share a new name at once one gets it and the other is refused.

use skein_wire::{
    limit,
    skills::{ListedSkill, ShareSkill, Skill},
};
use tokio_postgres::{Row, types::ToSql};

use crate::{GenericClient, Result, iso, meshes, statement::statements};

statements! {
    COUNT = "
        select count(*) filter (where name <> $2) as n
          from skill
         where mesh = $1";

    SHARE = "
        insert into skill as s (mesh, name, description, instructions, tags, author)
        select $1, $2, $3, $4, $5, m.mailbox
          from member m
         where m.mailbox = $6 and m.mesh = $1
            on conflict (mesh, name) do update
           set description = excluded.description, instructions = excluded.instructions,
               tags = excluded.tags, author = excluded.author, updated_at = now()
         where s.author = $6
            or exists (select from member m
                        where m.mailbox = $6 and m.mesh = $1 and m.role in ('owner', 'admin')
                          and m.revoked_at is null)
        returning s.name";

    REMOVE = "
        delete from skill s
         where s.mesh = $1 and s.name = $2
           and (s.author = $3
                or exists (select from member m
                            where m.mailbox = $3 and m.mesh = $1
                              and m.role in ('owner', 'admin') and m.revoked_at is null))
        returning s.name";

    GET = "
        select s.name, s.description, s.instructions, s.tags, m.display_name, s.created_at
          from skill s
          join member m on m.mailbox = s.author
         where s.mesh = $1 and s.name = $2";

    LIST = "
        select s.name, s.description, s.tags, m.display_name, s.created_at
          from skill s
          join member m on m.mailbox = s.author
         where s.mesh = $1
           and ($2 = ''
                or strpos(lower(s.name), lower($2)) > 0
                or strpos(lower(s.description), lower($2)) > 0
                or exists (select from unnest(s.tags) as tag
                            where strpos(lower(tag), lower($2)) > 0))
         order by s.name";
}

/// What became of a change of a skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    Done,
    /// There is no skill of that name.
    Absent,
    /// The name is this member's.
    Taken(String),
    /// The mesh has this many skills, which is as many as it may.
    Full(u64),
}

/// Shares a skill of `member`, inside the caller's transaction.
pub async fn share(
    db: &impl GenericClient,
    mesh: i64,
    member: i64,
    skill: &ShareSkill,
) -> Result<Outcome> {
    meshes::hold(db, mesh).await?;
    let count = db.prepare_cached(COUNT).await?;
    let n: i64 = db.query_one(&count, &[&mesh, &skill.name]).await?.get("n");
    if n >= limit::SKILLS_MAX {
        return Ok(Outcome::Full(n.unsigned_abs()));
    }
    let none = Vec::new();
    let tags = skill.tags.as_ref().unwrap_or(&none);
    let share = db.prepare_cached(SHARE).await?;
    let values: [&(dyn ToSql + Sync); 6] =
        [&mesh, &skill.name, &skill.description, &skill.instructions, tags, &member];
    match db.query_opt(&share, &values).await? {
        Some(_) => Ok(Outcome::Done),
        None => whose(db, mesh, &skill.name).await,
    }
}

/// Removes a skill in the name of `member`.
pub async fn remove(
    db: &impl GenericClient,
    mesh: i64,
    member: i64,
    name: &str,
) -> Result<Outcome> {
    let remove = db.prepare_cached(REMOVE).await?;
    match db.query_opt(&remove, &[&mesh, &name, &member]).await? {
        Some(_) => Ok(Outcome::Done),
        None => whose(db, mesh, name).await,
    }
}

async fn whose(db: &impl GenericClient, mesh: i64, name: &str) -> Result<Outcome> {
    let skill = get(db, mesh, name).await?;
    Ok(skill.map_or(Outcome::Absent, |skill| Outcome::Taken(skill.author)))
}

/// The skill of this name.
pub async fn get(db: &impl GenericClient, mesh: i64, name: &str) -> Result<Option<Skill>> {
    let get = db.prepare_cached(GET).await?;
    Ok(db.query_opt(&get, &[&mesh, &name]).await?.map(|row| Skill {
        name: row.get("name"),
        description: row.get("description"),
        instructions: row.get("instructions"),
        tags: row.get("tags"),
        author: row.get("display_name"),
        created_at: iso(row.get("created_at")),
    }))
}

/// The skills that have `query` in the name, the description or a tag, by name; an empty one is in
/// all.
pub async fn list(db: &impl GenericClient, mesh: i64, query: &str) -> Result<Vec<ListedSkill>> {
    let list = db.prepare_cached(LIST).await?;
    let rows = db.query(&list, &[&mesh, &query]).await?;
    let skill = |row: &Row| ListedSkill {
        name: row.get("name"),
        description: row.get("description"),
        tags: row.get("tags"),
        author: row.get("display_name"),
        created_at: iso(row.get("created_at")),
    };
    Ok(rows.iter().map(skill).collect())
}
