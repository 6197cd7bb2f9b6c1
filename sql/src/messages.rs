//! Messages: what became of one.

use jiff::Timestamp;
use skein_wire::{
    messaging::{MessageStatusResult, RecipientStatus},
    webhooks,
};
use uuid::Uuid;

use crate::{GenericClient, Result, iso, statement::statements};

statements! {
    FIND = "
        select seq, target, kind, at, xid::text as xid
          from message
         where message_id = $2 and mesh = $1
        union all
        select seq, target, kind, at, xid::text
          from message_held
         where message_id = $2 and mesh = $1
        limit 1";

    UNSETTLED = "
        select true as found
          from delivery
         where seq = $1
         limit 1";

    OUTCOME = "
        select outcome, at
          from receipt
         where int8range(seq_min, seq_max, '[]') @> $1::bigint and $1 = any(seqs)
         order by at
         limit 1";

    RECIPIENT = "
        select s.display_name, s.key, p.session is not null as here
          from session s
          left join presence p on p.session = s.mailbox
         where s.mesh = $1 and s.key = $2
        union all
        select m.display_name, m.pubkey,
               exists (select from presence p where p.member = m.mailbox and p.inbox)
          from member m
         where m.mesh = $1 and m.pubkey = $2
         limit 1";

    // A session has what was stored before its place in the log and after it was first seen.
    AUDIENCE = "
        select s.display_name, s.key, s.log_place > $3::text::xid8 and s.since < $4 as received
          from presence p
          join session s on s.mailbox = p.session
         where p.mesh = $1 and s.visible
           and ($2::text is null or exists (
                   select from jsonb_array_elements(s.groups) g
                    where g->>'name' = $2 or starts_with(g->>'name', $2 || '/')))
         order by s.connected_at";
}

/// What became of a message of this mesh; `None` when nothing is known of it.
pub async fn status(
    db: &impl GenericClient,
    mesh: i64,
    message_id: Uuid,
) -> Result<Option<MessageStatusResult>> {
    let find = db.prepare_cached(FIND).await?;
    let Some(message) = db.query_opt(&find, &[&mesh, &message_id]).await? else {
        return Ok(None);
    };
    let target: String = message.get("target");
    let mut result = MessageStatusResult {
        message_id: message_id.simple().to_string(),
        target_spec: webhooks::shown(&target).to_owned(),
        delivered: true,
        delivered_at: Some(iso(message.get("at"))),
        recipients: Vec::new(),
        outcome: None,
    };
    if message.get::<_, i16>("kind") == 1 {
        let group = target.strip_prefix('@').filter(|g| *g != "all");
        let audience = db.prepare_cached(AUDIENCE).await?;
        let (xid, at): (&str, Timestamp) = (message.get("xid"), message.get("at"));
        for row in db.query(&audience, &[&mesh, &group, &xid, &at]).await? {
            let state = if row.get("received") { "received" } else { "stored" };
            result.recipients.push(RecipientStatus {
                name: row.get("display_name"),
                pubkey: row.get("key"),
                status: "delivered".into(),
                state: Some(state.into()),
            });
        }
        return Ok(Some(result));
    }
    let Some((state, delivered_at)) = direct_state(db, message.get("seq")).await? else {
        return Ok(None);
    };
    let recipient = db.prepare_cached(RECIPIENT).await?;
    let known = db.query_opt(&recipient, &[&mesh, &target]).await?;
    let here = known.as_ref().is_some_and(|row| row.get("here"));
    let status = match state {
        "received" => "delivered",
        "stored" if here => "held",
        _ => "disconnected",
    };
    result.delivered = state == "received";
    result.delivered_at = delivered_at.filter(|_| result.delivered).map(iso);
    result.outcome = matches!(state, "expired" | "dropped").then(|| state.to_owned());
    result.recipients.push(RecipientStatus {
        name: known.as_ref().map_or_else(|| "unknown".into(), |row| row.get("display_name")),
        pubkey: known.map_or_else(|| target.chars().take(16).collect(), |row| row.get("key")),
        status: status.into(),
        state: Some(state.into()),
    });
    Ok(Some(result))
}

/// `stored` while unsettled; `None` when it is settled and the receipt too old to be kept: how it
/// ended is not known any more.
async fn direct_state(
    db: &impl GenericClient,
    seq: i64,
) -> Result<Option<(&'static str, Option<Timestamp>)>> {
    let unsettled = db.prepare_cached(UNSETTLED).await?;
    if db.query_opt(&unsettled, &[&seq]).await?.is_some() {
        return Ok(Some(("stored", None)));
    }
    let outcome = db.prepare_cached(OUTCOME).await?;
    let row = db.query_opt(&outcome, &[&seq]).await?;
    Ok(row.map(|row| match row.get::<_, i16>("outcome") {
        1 => ("expired", None),
        2 => ("dropped", None),
        _ => ("received", Some(row.get("at"))),
    }))
}
