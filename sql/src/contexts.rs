//! Contexts: what each member shared of its work.

use skein_wire::contexts::{Context, ListedContext, ShareContext};
use skein_wire::{contexts::KEY_PREFIX, limit};
use tokio_postgres::{Row, types::ToSql};

use crate::{
    GenericClient, Result, iso, new_id,
    state::{Author, Change, Subject},
    statement::statements,
};

statements! {
    SHARE = "
        insert into context as c (mesh, member, id, summary, files_read, key_findings, tags,
                                  writer, updated_at, xid)
        select $1, m.mailbox, $3, $4, $5, $6, $7, $8, clock_timestamp(), pg_current_xact_id()
          from member m
         where m.mailbox = $2 and m.mesh = $1
           and exists (select from presence p where p.session = $8 and p.attach_no = $9)
            on conflict (mesh, member) do update
           set summary = excluded.summary, files_read = excluded.files_read,
               key_findings = excluded.key_findings, tags = excluded.tags,
               version = c.version + 1, writer = excluded.writer,
               updated_at = excluded.updated_at, xid = excluded.xid
        returning c.id, c.version, c.xid::text::bigint as xid,
                  (select m.display_name from member m where m.mailbox = $2) as name,
                  to_json(c.summary)::text as value";

    FIND = "
        select m.display_name, c.summary, c.files_read, c.key_findings, c.tags, c.updated_at
          from context c
          join member m on m.mailbox = c.member
         where c.mesh = $1
           and (strpos(lower(c.summary), lower($2)) > 0 or $2 = any(c.tags))
         order by c.updated_at desc, c.member
         limit $3";

    LIST = "
        select m.display_name, c.summary, c.tags, c.updated_at
          from context c
          join member m on m.mailbox = c.member
         where c.mesh = $1
         order by c.updated_at desc, c.member
         limit $2";
}

/// Replaces the context of a member of `mesh`: its id and the change to tell. `None` when the
/// session has another attachment by now.
pub async fn share(
    db: &impl GenericClient,
    mesh: i64,
    author: &Author<'_>,
    context: &ShareContext,
) -> Result<Option<(String, Change)>> {
    let none = Vec::new();
    let share = db.prepare_cached(SHARE).await?;
    let values: [&(dyn ToSql + Sync); 9] = [
        &mesh,
        &author.member,
        &new_id(),
        &context.summary,
        context.files_read.as_ref().unwrap_or(&none),
        context.key_findings.as_ref().unwrap_or(&none),
        context.tags.as_ref().unwrap_or(&none),
        &author.session,
        &author.attach_no,
    ];
    let Some(row) = db.query_opt(&share, &values).await? else { return Ok(None) };
    let name: String = row.get("name");
    let change = Change {
        subject: Subject::context(mesh, author.member),
        key: format!("{KEY_PREFIX}{name}"),
        version: row.get("version"),
        xid: row.get("xid"),
        writer: author.session,
        updated_by: name,
        value: row.get("value"),
    };
    Ok(Some((row.get("id"), change)))
}

/// The newest contexts of `mesh` that have `query` in the summary or as a tag.
pub async fn find(db: &impl GenericClient, mesh: i64, query: &str) -> Result<Vec<Context>> {
    let find = db.prepare_cached(FIND).await?;
    let rows = db.query(&find, &[&mesh, &query, &limit::CONTEXTS_FOUND_MAX]).await?;
    let context = |row: &Row| Context {
        peer_name: row.get("display_name"),
        summary: row.get("summary"),
        files_read: row.get("files_read"),
        key_findings: row.get("key_findings"),
        tags: row.get("tags"),
        updated_at: iso(row.get("updated_at")),
    };
    Ok(rows.iter().map(context).collect())
}

/// The newest contexts of `mesh`.
pub async fn list(db: &impl GenericClient, mesh: i64) -> Result<Vec<ListedContext>> {
    let list = db.prepare_cached(LIST).await?;
    let rows = db.query(&list, &[&mesh, &limit::CONTEXTS_LISTED_MAX]).await?;
    let context = |row: &Row| ListedContext {
        peer_name: row.get("display_name"),
        summary: row.get("summary"),
        tags: row.get("tags"),
        updated_at: iso(row.get("updated_at")),
    };
    Ok(rows.iter().map(context).collect())
}
