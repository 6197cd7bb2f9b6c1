//! Memories of a mesh, and how they are found.
//!
//! Three ways, each tried when those before it found nothing: the words as English reads them, then
//! words that begin so, then words that have most of their groups of three letters in common. The
//! first two are one `tsvector`, ranked by the database; the third is another, whose candidates are
//! compared here. What too many memories have is looked for among the newest of them. The number of
//! the mesh is part of every entry of both: the indexes cannot have a column beside them without an
//! extension of PostgreSQL.

pub mod grams;
mod query;

use skein_wire::{
    limit,
    memory::{Author, Match, Memory},
};
use tokio_postgres::Row;

use self::query::Query;
use crate::{GenericClient, Result, iso, new_id, statement::statements};

/// Memories that are ranked, or looked at: words that more of them have are too common to tell one
/// from another.
const CANDIDATES_MAX: i64 = 2000;
/// Then the newest that have them stand for all.
const NEWEST_MAX: i64 = 200;
/// What is compared here of what may be alike: the newest.
const COMPARED_MAX: i64 = 200;

statements! {
    REMEMBER = r"
        with room as (
            insert into memory_count as c (mesh, n)
            values ($1::bigint, 1)
                on conflict (mesh) do update set n = c.n + 1
             where c.n < $9
            returning n)
        insert into memory (id, mesh, member, session_key, session_name, content, tags, words,
                            grams)
        select $2, $1, $3, $4, $5, $6::text, $7::text[],
               coalesce((select string_agg(
                             '''' || replace(replace($1::bigint || ' ' || left(lexeme, 200),
                                                     '\', '\\'), '''', '''''')
                                  || ''':' || array_to_string(positions, ','), ' ')
                           from unnest(to_tsvector('english',
                                                   $6 || ' ' || array_to_string($7, ' ')))),
                        '')::tsvector,
               array_to_tsvector($8::text[])
          from room";

    READ_QUERY = "
        select array(select left(lexeme, 200)
                       from unnest(to_tsvector('english', $1))) as stems,
               array(select coalesce((ts_lexize('english_stem', word))[1], '')
                       from unnest($2::text[]) with ordinality as w(word, i)
                      order by i) as stem_of";

    // The mesh is in the query as well, before every word of it. As a column it must not choose the
    // index: `+ 0` hides it from the one that has the newest.
    FIND = "
        with candidate as materialized (
            select id, ts_rank(words, $2::text::tsquery) as score, remembered_at
              from memory
             where mesh + 0 = $1 and forgotten_at is null and words @@ $2::text::tsquery
             limit $4),
        best as (
            select id, score, remembered_at, (select count(*) from candidate) as n
              from candidate
             order by score desc, remembered_at desc, id desc
             limit $3)
        select m.id, m.content, m.tags, m.remembered_at, m.session_key, m.session_name,
               a.id as member_id, a.pubkey, a.display_name, b.score, b.n
          from best b
          join memory m on m.id = b.id
          join member a on a.mailbox = m.member
         order by b.score desc, b.remembered_at desc, b.id desc";

    // `is true` hides the query from the index of words.
    FIND_NEWEST = "
        with candidate as materialized (
            select id, ts_rank(words, $2::text::tsquery) as score, remembered_at
              from memory
             where mesh = $1 and forgotten_at is null and (words @@ $2::text::tsquery) is true
             order by remembered_at desc, id desc
             limit $4),
        best as (
            select id, score, remembered_at, 0::bigint as n
              from candidate
             order by score desc, remembered_at desc, id desc
             limit $3)
        select m.id, m.content, m.tags, m.remembered_at, m.session_key, m.session_name,
               a.id as member_id, a.pubkey, a.display_name, b.score, b.n
          from best b
          join memory m on m.id = b.id
          join member a on a.mailbox = m.member
         order by b.score desc, b.remembered_at desc, b.id desc";

    FIND_SIMILAR = "
        with candidate as materialized (
            select id, remembered_at
              from memory
             where mesh + 0 = $1 and forgotten_at is null and grams @@ $2::text::tsquery
             limit $4),
        best as (
            select id, 0::real as score, remembered_at, (select count(*) from candidate) as n
              from candidate
             order by remembered_at desc, id desc
             limit $3)
        select m.id, m.content, m.tags, m.remembered_at, m.session_key, m.session_name,
               a.id as member_id, a.pubkey, a.display_name, b.score, b.n
          from best b
          join memory m on m.id = b.id
          join member a on a.mailbox = m.member
         order by b.score desc, b.remembered_at desc, b.id desc";

    FIND_SIMILAR_NEWEST = "
        with best as (
            select id, 0::real as score, remembered_at, 0::bigint as n
              from memory
             where mesh = $1 and forgotten_at is null and (grams @@ $2::text::tsquery) is true
             order by remembered_at desc, id desc
             limit least($3::bigint, $4::bigint))
        select m.id, m.content, m.tags, m.remembered_at, m.session_key, m.session_name,
               a.id as member_id, a.pubkey, a.display_name, b.score, b.n
          from best b
          join memory m on m.id = b.id
          join member a on a.mailbox = m.member
         order by b.score desc, b.remembered_at desc, b.id desc";

    MAY_FORGET = "
        select m.member = $3
               or exists (select from member a
                           where a.mesh = $1 and a.mailbox = $3 and a.role in ('owner', 'admin')
                             and a.revoked_at is null) as may
          from memory m
         where m.mesh = $1 and m.id = $2";

    FORGET = "
        with gone as (
            update memory
               set forgotten_at = now(), forgotten_by = $3, words = '', grams = ''
             where mesh = $1 and id = $2 and forgotten_at is null
            returning mesh)
        update memory_count c
           set n = c.n - 1
          from gone
         where c.mesh = gone.mesh";

    COUNT = "
        select coalesce((select n from memory_count where mesh = $1), 0) as n";
}

/// The statements that rank what they find.
const RANKED: (&str, &str) = (FIND, FIND_NEWEST);

/// Who writes a memory.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The member's mailbox.
    pub member: i64,
    /// The session's key.
    pub session_key: &'a str,
    /// What the session is called.
    pub session_name: &'a str,
}

/// What became of a wish to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// It is forgotten, be it since before.
    Done,
    /// It is another member's, and the caller is no admin.
    NotAllowed,
    /// The mesh has no such memory.
    Unknown,
}

/// Keeps a text and returns its id; `None` when the mesh has as many as it may.
pub async fn remember(
    db: &impl GenericClient,
    mesh: i64,
    writer: Writer<'_>,
    content: &str,
    tags: &[String],
) -> Result<Option<String>> {
    let id = new_id();
    let text = format!("{content} {}", tags.join(" "));
    let grams: Vec<String> =
        apart(move || grams::of_text(&text).iter().map(|gram| query::entry(mesh, gram)).collect())
            .await;
    let Writer { member, session_key, session_name } = writer;
    let max = limit::MEMORIES_MAX;
    let remember = db.prepare_cached(REMEMBER).await?;
    let n_kept = db
        .execute(
            &remember,
            &[&mesh, &id, &member, &session_key, &session_name, &content, &tags, &grams, &max],
        )
        .await?;
    Ok((n_kept == 1).then_some(id))
}

/// The memories that fit `text`, the best first; none when nothing of it carries meaning.
pub async fn recall(db: &impl GenericClient, mesh: i64, text: &str) -> Result<Vec<Memory>> {
    let words = grams::words(text);
    let read = db.prepare_cached(READ_QUERY).await?;
    let row = db.query_one(&read, &[&text, &words]).await?;
    let query = Query::new(mesh, row.get("stems"), words, row.get("stem_of"));
    let Some(by_words) = query.by_words() else {
        return Ok(Vec::new());
    };
    let found = find(db, mesh, &by_words, RANKED, limit::RECALL_MAX).await?;
    if !found.is_empty() {
        return Ok(found.iter().map(|row| memory(row, query.same_words(score(row)))).collect());
    }
    let Some(by_prefix) = query.by_prefix() else {
        return Ok(Vec::new());
    };
    let found = find(db, mesh, &by_prefix, RANKED, limit::RECALL_MAX).await?;
    if !found.is_empty() {
        let prefixed = move |row: &Row| memory(row, query.begins(&text_of(row), score(row)));
        return Ok(apart(move || found.iter().map(prefixed).collect()).await);
    }
    let Some(by_grams) = query.by_grams() else {
        return Ok(Vec::new());
    };
    let similar = (FIND_SIMILAR, FIND_SIMILAR_NEWEST);
    let candidates = find(db, mesh, &by_grams, similar, COMPARED_MAX).await?;
    Ok(apart(move || most_like(&query, &candidates)).await)
}

/// Those of the candidates that are like the query, the best first.
fn most_like(query: &Query, candidates: &[Row]) -> Vec<Memory> {
    let mut found: Vec<(f64, Memory)> = candidates
        .iter()
        .filter_map(|row| {
            let found = query.is_like(&text_of(row))?;
            Some((found.score, memory(row, found)))
        })
        .collect();
    // Stable: of equals the newest stays first.
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.truncate(usize::try_from(limit::RECALL_MAX).expect("a small number"));
    found.into_iter().map(|(_, memory)| memory).collect()
}

/// Does on a thread of its own what takes long with the longest texts: seconds, in the worst case,
/// in which nobody else on this thread would be served.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("it does not panic, and is not cancelled")
}

/// Finds by the first statement; by the second, when the query is too common for it.
async fn find(
    db: &impl GenericClient,
    mesh: i64,
    query: &str,
    (exact, newest): (&str, &str),
    max: i64,
) -> Result<Vec<Row>> {
    let exact = db.prepare_cached(exact).await?;
    let found = db.query(&exact, &[&mesh, &query, &max, &CANDIDATES_MAX]).await?;
    if found.first().is_none_or(|row| row.get::<_, i64>("n") < CANDIDATES_MAX) {
        return Ok(found);
    }
    let newest = db.prepare_cached(newest).await?;
    Ok(db.query(&newest, &[&mesh, &query, &max, &NEWEST_MAX]).await?)
}

fn score(row: &Row) -> f64 {
    row.get::<_, f32>("score").into()
}

/// Everything that a memory is found by, as one text.
fn text_of(row: &Row) -> String {
    let tags: Vec<String> = row.get("tags");
    format!("{} {}", row.get::<_, &str>("content"), tags.join(" "))
}

fn memory(row: &Row, found: Match) -> Memory {
    Memory {
        id: row.get("id"),
        content: row.get("content"),
        tags: row.get("tags"),
        remembered_by: row.get("display_name"),
        remembered_at: iso(row.get("remembered_at")),
        author: Some(Author {
            member_id: row.get("member_id"),
            member_pubkey: row.get("pubkey"),
            session_pubkey: row.get("session_key"),
            session_name: row.get("session_name"),
        }),
        found: Some(found),
    }
}

/// Forgets a memory for good, if `member` wrote it or is an admin.
pub async fn forget(
    db: &impl GenericClient,
    mesh: i64,
    id: &str,
    member: i64,
) -> Result<Forgotten> {
    let may = db.prepare_cached(MAY_FORGET).await?;
    // Who wrote it never changes, so nothing can come between the two.
    match db.query_opt(&may, &[&mesh, &id, &member]).await? {
        None => return Ok(Forgotten::Unknown),
        Some(row) if !row.get::<_, bool>("may") => return Ok(Forgotten::NotAllowed),
        Some(_) => (),
    }
    let forget = db.prepare_cached(FORGET).await?;
    db.execute(&forget, &[&mesh, &id, &member]).await?;
    Ok(Forgotten::Done)
}

/// How many memories the mesh has that are not forgotten.
pub async fn count(db: &impl GenericClient, mesh: i64) -> Result<i64> {
    let count = db.prepare_cached(COUNT).await?;
    Ok(db.query_one(&count, &[&mesh]).await?.get("n"))
}
