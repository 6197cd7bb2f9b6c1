//! What changed, for the nodes that tell it: found by transaction, as the log of multicasts is.
//!
//! The table has the last change of each key and of each member's context, which is all that anybody
//! has to be told: what was overwritten before it was told is told by what came after it.

use std::sync::Arc;

use tokio_postgres::Row;

use crate::{GenericClient, Result, statement::statements};

statements! {
    CHANGES = "
        select mesh, key, null::bigint as member, version, xid::text::bigint as xid
          from state
         where mesh = any($1) and xid >= $2::text::xid8
        union all
        select mesh, '', member, version, xid::text::bigint
          from context
         where mesh = any($1) and xid >= $2::text::xid8";

    // A key whose time is over holds nothing, whether that was noticed or not.
    READ = "
        select s.mesh, s.key, null::bigint as member, s.version, s.xid::text::bigint as xid,
               s.writer, s.updated_by,
               case when s.expires_at is null or s.expires_at > clock_timestamp()
                    then s.value end as value
          from unnest($1::bigint[], $2::text[]) as q(mesh, key)
          join state s on s.mesh = q.mesh and s.key = q.key";

    READ_CONTEXTS = "
        select c.mesh, '_context:' || m.display_name as key, c.member, c.version,
               c.xid::text::bigint as xid, c.writer, m.display_name as updated_by,
               to_json(c.summary)::text as value
          from unnest($1::bigint[], $2::bigint[]) as q(mesh, member)
          join context c on c.mesh = q.mesh and c.member = q.member
          join member m on m.mailbox = c.member";
}

/// What a change is about: a key of a mesh, or what a member shared of its context.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The mesh's number.
    pub mesh: i64,
    /// What of it.
    pub what: What,
}

/// See [`Subject`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum What {
    /// This key.
    Key(Arc<str>),
    /// The context of the member with this mailbox; others may have the same name.
    Context(i64),
}

impl Subject {
    /// A key of a mesh.
    pub fn state(mesh: i64, key: &str) -> Self {
        Self { mesh, what: What::Key(key.into()) }
    }

    /// A member's context.
    pub fn context(mesh: i64, member: i64) -> Self {
        Self { mesh, what: What::Context(member) }
    }
}

/// A change, whole.
#[derive(Debug, Clone)]
pub struct Change {
    /// What it is about.
    pub subject: Subject,
    /// The key as it is told.
    pub key: String,
    /// Which change of the subject it is: later ones have higher numbers.
    pub version: i64,
    /// The transaction that made it.
    pub xid: i64,
    /// The session that made it; 0: none.
    pub writer: i64,
    /// Whose name it is told under.
    pub updated_by: String,
    /// JSON; `None`: there is nothing any more.
    pub value: Option<String>,
}

/// That something changed, without what it is now.
#[derive(Debug, Clone)]
pub struct Head {
    /// What.
    pub subject: Subject,
    /// See [`Change::version`].
    pub version: i64,
    /// See [`Change::xid`].
    pub xid: i64,
}

/// The last changes of these meshes at or after `since` (an xid).
pub async fn since(db: &impl GenericClient, meshes: &[i64], since: i64) -> Result<Vec<Head>> {
    let changes = db.prepare_cached(CHANGES).await?;
    let rows = db.query(&changes, &[&meshes, &since.to_string()]).await?;
    let head = |row: &Row| Head {
        subject: subject(row),
        version: row.get("version"),
        xid: row.get("xid"),
    };
    Ok(rows.iter().map(head).collect())
}

/// The last change of each of these, those that are forgotten left out.
pub async fn read(db: &impl GenericClient, subjects: &[Subject]) -> Result<Vec<Change>> {
    let (mut keys, mut contexts) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for subject in subjects {
        match &subject.what {
            What::Key(key) => {
                keys.0.push(subject.mesh);
                keys.1.push(&**key);
            }
            What::Context(member) => {
                contexts.0.push(subject.mesh);
                contexts.1.push(*member);
            }
        }
    }
    let mut found = Vec::with_capacity(subjects.len());
    if !keys.0.is_empty() {
        let read = db.prepare_cached(READ).await?;
        found.extend(db.query(&read, &[&keys.0, &keys.1]).await?.iter().map(change));
    }
    if !contexts.0.is_empty() {
        let read = db.prepare_cached(READ_CONTEXTS).await?;
        found.extend(db.query(&read, &[&contexts.0, &contexts.1]).await?.iter().map(change));
    }
    Ok(found)
}

fn subject(row: &Row) -> Subject {
    match row.get::<_, Option<i64>>("member") {
        Some(member) => Subject::context(row.get("mesh"), member),
        None => Subject::state(row.get("mesh"), row.get("key")),
    }
}

fn change(row: &Row) -> Change {
    Change {
        subject: subject(row),
        key: row.get("key"),
        version: row.get("version"),
        xid: row.get("xid"),
        writer: row.get("writer"),
        updated_by: row.get("updated_by"),
        value: row.get("value"),
    }
}
