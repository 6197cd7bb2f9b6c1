//! Settling: the recipient has it, so the work is forgotten and a receipt kept. See delivery.md 6.

use crate::{GenericClient, Result, statement::statements};

statements! {
    SETTLE = "
        with gone as (
            delete from delivery d
             using unnest($1::bigint[], $2::bigint[]) as t(seq, recipient)
             where d.seq = t.seq and d.recipient = t.recipient
            returning d.seq, d.recipient)
        insert into receipt (seqs, recipients, seq_min, seq_max, outcome, at)
        select array_agg(seq), array_agg(recipient), min(seq), max(seq), 0, now()
          from gone
        having count(*) > 0";
}

/// Settles rows, as (seq, recipient). Rows that are gone already are ignored.
pub async fn settle(db: &impl GenericClient, rows: &[(i64, i64)]) -> Result<()> {
    let seqs: Vec<i64> = rows.iter().map(|r| r.0).collect();
    let recipients: Vec<i64> = rows.iter().map(|r| r.1).collect();
    let settle = db.prepare_cached(SETTLE).await?;
    db.execute(&settle, &[&seqs, &recipients]).await?;
    Ok(())
}
