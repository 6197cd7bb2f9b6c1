//! What a session says of itself: status, summary, groups, profile, visibility, counters.
//!
//! Everything is saved at each change, for the attachment that says it: a socket that was replaced
//! changes nothing any more.

use serde_json::Value;
use skein_wire::{groups::Group, limit, profile::Profile};

use crate::{GenericClient, Result, statement::statements};

statements! {
    STATUS = "
        update session
           set status = $3, status_source = 'manual', status_at = now()
         where mailbox = $1 and attach_no = $2";

    SUMMARY = "
        update session
           set summary = $3
         where mailbox = $1 and attach_no = $2";

    VISIBLE = "
        update session s
           set visible = $3
          from (select mailbox, visible from session where mailbox = $1 for update) old
         where s.mailbox = old.mailbox and s.attach_no = $2
        returning old.visible";

    GROUPS = "
        update session
           set groups = $3
         where mailbox = $1 and attach_no = $2";

    PROFILE = "
        update session
           set profile = $3
         where mailbox = $1 and attach_no = $2";

    READ_PROFILE = "
        select profile
          from session
         where mailbox = $1 and attach_no = $2";

    STATS = "
        update session
           set stats = $3::jsonb,
               totals = (
                   select jsonb_object_agg(name, greatest(
                              coalesce((totals->>name)::float8, 0),
                              case when jsonb_typeof($3::jsonb->name) = 'number'
                                   then ($3::jsonb->>name)::float8 else 0 end))
                     from unnest(array['messagesIn', 'messagesOut', 'toolCalls', 'errors']) as name)
         where mailbox = $1 and attach_no = $2";

    SEEN = "
        update session
           set seen_at = now(),
               status_at = case when status_source = 'hook' then now() else status_at end
         where mailbox = $1 and attach_no = $2";

    STATUSES = "
        select mailbox, status
          from session
         where mailbox = any($1)";

    HOOK_MATCH = "
        select s.mailbox, p.id, p.node, s.status
          from presence p
          join session s on s.mailbox = p.session
         where s.cwd = $1 or (s.session_id = $3 and $3 <> '')
         order by (s.session_id = $3 and $3 <> '') desc, (s.pid = $2) desc, s.connected_at desc
         limit 1";

    HOOK_WRITE = "
        update session
           set status = $2, status_source = 'hook', status_at = now()
         where mailbox = $1 and status <> 'dnd'";

    HOOK_PEND = "
        insert into hook_pending (pid, cwd, status)
        values ($1, $2, $3)
            on conflict (pid, cwd) do update set status = excluded.status, at = now()";
}

/// Sets the status by the session's own word.
pub async fn set_status(
    db: &impl GenericClient,
    session: i64,
    attach_no: i64,
    status: skein_wire::Status,
) -> Result<bool> {
    let set = db.prepare_cached(STATUS).await?;
    Ok(db.execute(&set, &[&session, &attach_no, &status.as_str()]).await? == 1)
}

/// Sets the summary.
pub async fn set_summary(
    db: &impl GenericClient,
    session: i64,
    attach_no: i64,
    summary: &str,
) -> Result<bool> {
    let set = db.prepare_cached(SUMMARY).await?;
    Ok(db.execute(&set, &[&session, &attach_no, &summary]).await? == 1)
}

/// Sets whether others see it; returns what it was before, `None` for a replaced attachment.
pub async fn set_visible(
    db: &impl GenericClient,
    session: i64,
    attach_no: i64,
    visible: bool,
) -> Result<Option<bool>> {
    let set = db.prepare_cached(VISIBLE).await?;
    let row = db.query_opt(&set, &[&session, &attach_no, &visible]).await?;
    Ok(row.map(|row| row.get("visible")))
}

/// Sets the groups.
pub async fn set_groups(
    db: &impl GenericClient,
    session: i64,
    attach_no: i64,
    groups: &[Group],
) -> Result<bool> {
    debug_assert!(groups.len() <= limit::GROUPS_MAX, "the handler refused more");
    let groups = serde_json::to_value(groups).expect("groups have string keys only");
    let set = db.prepare_cached(GROUPS).await?;
    Ok(db.execute(&set, &[&session, &attach_no, &groups]).await? == 1)
}

/// The profile of this attachment; `None` when it was replaced.
pub async fn profile(
    db: &impl GenericClient,
    session: i64,
    attach_no: i64,
) -> Result<Option<Profile>> {
    let read = db.prepare_cached(READ_PROFILE).await?;
    let row = db.query_opt(&read, &[&session, &attach_no]).await?;
    Ok(row.map(|row| serde_json::from_value(row.get("profile")).unwrap_or_default()))
}

/// Sets the profile.
pub async fn set_profile(
    db: &impl GenericClient,
    session: i64,
    attach_no: i64,
    profile: &Profile,
) -> Result<bool> {
    let profile = serde_json::to_value(profile).expect("profiles have string keys only");
    let set = db.prepare_cached(PROFILE).await?;
    Ok(db.execute(&set, &[&session, &attach_no, &profile]).await? == 1)
}

/// Replaces the counters; a total takes the highest value that was ever reported.
pub async fn set_stats(
    db: &impl GenericClient,
    session: i64,
    attach_no: i64,
    stats: &Value,
) -> Result<bool> {
    let set = db.prepare_cached(STATS).await?;
    Ok(db.execute(&set, &[&session, &attach_no, stats]).await? == 1)
}

/// Notes that the session sent a frame, which also keeps a hook's `working` alive.
pub async fn seen(db: &impl GenericClient, session: i64, attach_no: i64) -> Result<()> {
    let seen = db.prepare_cached(SEEN).await?;
    db.execute(&seen, &[&session, &attach_no]).await?;
    Ok(())
}

/// The statuses of these sessions.
pub async fn statuses(db: &impl GenericClient, sessions: &[i64]) -> Result<Vec<(i64, String)>> {
    let statuses = db.prepare_cached(STATUSES).await?;
    let rows = db.query(&statuses, &[&sessions]).await?;
    Ok(rows.iter().map(|row| (row.get("mailbox"), row.get("status"))).collect())
}

/// The attached session that a hook is about.
#[derive(Debug)]
pub struct Hooked {
    /// The session's mailbox.
    pub mailbox: i64,
    /// The attachment's id on the wire.
    pub presence_id: String,
    /// The node that has it.
    pub node: i32,
}

/// Applies a hook's status to the attached session it means: the one with its session id, else with
/// its cwd and pid, else the latest with its cwd. `dnd` stays. Without one the status waits 10 s for
/// a hello of the same pid and cwd.
pub async fn hook(
    db: &impl GenericClient,
    cwd: &str,
    pid: i64,
    session_id: &str,
    status: &str,
) -> Result<Option<Hooked>> {
    let find = db.prepare_cached(HOOK_MATCH).await?;
    let Some(row) = db.query_opt(&find, &[&cwd, &pid, &session_id]).await? else {
        let pend = db.prepare_cached(HOOK_PEND).await?;
        db.execute(&pend, &[&pid, &cwd, &status]).await?;
        return Ok(None);
    };
    let hooked =
        Hooked { mailbox: row.get("mailbox"), presence_id: row.get("id"), node: row.get("node") };
    let write = db.prepare_cached(HOOK_WRITE).await?;
    db.execute(&write, &[&hooked.mailbox, &status]).await?;
    Ok(Some(hooked))
}
