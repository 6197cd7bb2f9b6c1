//! Claims: one winner each.

use std::time::Duration;

use crate::{GenericClient, Result, statement::statements};

statements! {
    CLAIM = "
        update task
           set status = 'claimed', claims = claims + 1, claimed_by = $3, claimed_session = $4,
               claimed_at = now(), leased_until = now() + make_interval(secs => $5)
         where mesh = $1 and id = $2 and status = 'open' and waits_for = 0";

    // What another claimer holds just now is passed over, so claimers do not wait for each other.
    CLAIM_NEXT = "
        with next as (
            select id
              from task
             where mesh = $1 and status = 'open' and waits_for = 0
               and (assignee is null or assignee = any($2)
                    or exists (select from member m
                                where m.mesh = $1 and m.mailbox = $4
                                  and assignee in (m.display_name, m.pubkey)))
               and tags @> $3
             order by urgency, created_at, id
             limit 1
               for update skip locked)
        update task t
           set status = 'claimed', claims = claims + 1, claimed_by = $4, claimed_session = $5,
               claimed_at = now(), leased_until = now() + make_interval(secs => $6)
          from next
         where t.mesh = $1 and t.id = next.id
        returning t.id";

    IS_ANY_NEXT = "
        select exists (
            select from task
             where mesh = $1 and status = 'open' and waits_for = 0
               and (assignee is null or assignee = any($2)
                    or exists (select from member m
                                where m.mesh = $1 and m.mailbox = $4
                                  and assignee in (m.display_name, m.pubkey)))
               and tags @> $3) as is_any";

    RENEW = "
        update task
           set leased_until = now() + make_interval(secs => $5)
         where mesh = $1 and id = $2 and status = 'claimed' and claimed_by = $3
           and (claimed_session is null or claimed_session = $4)";
}

/// Who claims.
#[derive(Debug, Clone, Copy)]
pub struct Claimer<'a> {
    /// The member's mailbox.
    pub member: i64,
    /// The key of the session that is to hold it; `None`: its member does.
    pub session: Option<&'a str>,
}

/// Which tasks are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What the claimer is called, beside its member's name and key: tasks for others are not
    /// wanted.
    pub names: &'a [String],
    /// Tags that a task must have.
    pub tags: &'a [String],
}

/// Gives the task to the claimer and returns true, or returns false when it is not open.
pub async fn claim(
    db: &impl GenericClient,
    mesh: i64,
    id: &str,
    claimer: Claimer<'_>,
    lease: Option<Duration>,
) -> Result<bool> {
    let claim = db.prepare_cached(CLAIM).await?;
    let lease_s = lease.map(|lease| lease.as_secs_f64());
    let Claimer { member, session } = claimer;
    Ok(db.execute(&claim, &[&mesh, &id, &member, &session, &lease_s]).await? == 1)
}

/// Gives the claimer the next task and returns its id. `None`: there is none, or others hold just
/// now what there is; [`is_any_next`] tells the two apart.
pub async fn claim_next(
    db: &impl GenericClient,
    mesh: i64,
    wanted: Wanted<'_>,
    claimer: Claimer<'_>,
    lease: Option<Duration>,
) -> Result<Option<String>> {
    let next = db.prepare_cached(CLAIM_NEXT).await?;
    let lease_s = lease.map(|lease| lease.as_secs_f64());
    let Wanted { names, tags } = wanted;
    let Claimer { member, session } = claimer;
    let row = db.query_opt(&next, &[&mesh, &names, &tags, &member, &session, &lease_s]).await?;
    Ok(row.map(|row| row.get("id")))
}

/// Whether a task is open that is wanted, be it held by a claim that is not decided yet.
pub async fn is_any_next(
    db: &impl GenericClient,
    mesh: i64,
    wanted: Wanted<'_>,
    member: i64,
) -> Result<bool> {
    let any = db.prepare_cached(IS_ANY_NEXT).await?;
    let Wanted { names, tags } = wanted;
    Ok(db.query_one(&any, &[&mesh, &names, &tags, &member]).await?.get("is_any"))
}

/// Makes the holder's claim a lease that lasts so long from now, and returns true; returns false
/// when the claimer does not hold the task.
pub async fn renew(
    db: &impl GenericClient,
    mesh: i64,
    id: &str,
    claimer: Claimer<'_>,
    lease: Duration,
) -> Result<bool> {
    let renew = db.prepare_cached(RENEW).await?;
    let Claimer { member, session } = claimer;
    let lease_s = lease.as_secs_f64();
    Ok(db.execute(&renew, &[&mesh, &id, &member, &session, &lease_s]).await? == 1)
}
