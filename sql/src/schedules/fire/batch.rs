//! A batch: what one transaction does of the rows that it holds.
//!
//! Slots are entered row by row, then decided together, then written: messages, log, rows.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use skein_crypto::message_id;
use skein_wire::{
    Code,
    cron::Cron,
    limit,
    schedules::{Missed, Outcome, Overlap},
};
use uuid::Uuid;

use super::{
    super::{
        since,
        slots::{Calendar, Slot, serve_at},
        zone,
    },
    BATCH_BYTES_MAX, BATCH_MAX, Failure, Fired,
    room::Room,
    row::Scheduled,
};
use crate::{
    GenericClient, Result,
    statement::statements,
    store::{self, NewMessage},
    tell::Committed,
};

statements! {
    // The session that it is for, if it is attached or away no longer than the grace: it comes back
    // to its own mailbox. Else another of its member, longest first.
    OWN = "
        select o.i, here.session, here.node
          from unnest($1::bigint[], $2::bigint[]) with ordinality as o(session, member, i)
          cross join lateral (
               select p.session, p.node, p.session <> o.session as is_other, not p.inbox as is_old,
                      p.attached_at
                 from presence p
                where p.member = o.member
               union all
               select s.mailbox, 0, false, false, s.depart_at
                 from session s
                where s.mailbox = o.session and s.member = o.member and s.announced = 'here'
                  and s.depart_at > now()
                order by is_other, is_old, attached_at
                limit 1) here";

    UNDELIVERED = "
        select distinct seq
          from delivery
         where seq = any($1)";

    ADVANCE = "
        update schedule s
           set slot = t.slot, serve_at = t.serve_at,
               run_at = case when t.run then null else s.run_at end,
               state = case when t.done then 'done' else s.state end,
               done_at = case when t.done then now() end,
               fired_count = s.fired_count + t.n_fired, n_logged = t.n_logged,
               last_seq = coalesce(t.last_seq, s.last_seq)
          from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::boolean[],
                      $5::boolean[], $6::bigint[], $7::bigint[], $8::bigint[])
               as t(id, slot, serve_at, run, done, n_fired, n_logged, last_seq)
         where s.id = t.id";

    LOG = "
        insert into schedule_fire (schedule, mesh, n, slot, at, late_ms, outcome, message_id, detail)
        select *
          from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::timestamptz[],
                      $5::timestamptz[], $6::bigint[], $7::text[], $8::uuid[], $9::text[])";

    FORGET = "
        delete from schedule_fire f
         using unnest($1::uuid[], $2::bigint[]) as t(schedule, n)
         where f.schedule = t.schedule and f.n = t.n";
}

/// What becomes of a row.
pub(super) struct Served {
    row: Scheduled,
    /// The slot that is next.
    slot: Timestamp,
    is_done: bool,
    ran: bool,
    n_fired: i64,
    n_logged: i64,
    last_seq: Option<i64>,
}

/// A slot of a row, and what comes of it.
pub(super) struct Attempt {
    /// Its row among those that are served.
    of: usize,
    slot: Slot,
    message_id: Uuid,
    outcome: Outcome,
    /// Why it failed.
    code: Option<Code>,
    detail: Option<String>,
    /// The message's number, and where it goes.
    seq: Option<i64>,
    recipient: Option<(i64, i32)>,
}

/// What one transaction does.
pub(super) struct Batch {
    now: Timestamp,
    served: Vec<Served>,
    attempts: Vec<Attempt>,
    n_bytes: usize,
    pub(super) more: bool,
}

impl Batch {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, served: Vec::new(), attempts: Vec::new(), n_bytes: 0, more: false }
    }

    pub(super) fn is_full(&self) -> bool {
        self.attempts.len() >= BATCH_MAX || self.n_bytes >= BATCH_BYTES_MAX
    }

    /// Enters what is to be done of a row: its slots by this clock, and by the real one also what was
    /// asked for beside them.
    pub(super) fn plan(&mut self, row: Scheduled, by_sim: bool) {
        let (slot, n_logged) = (row.slot, row.n_logged);
        let of = self.served.len();
        let (mut slot, mut is_done, mut ran) = (slot, row.is_gone, false);
        if row.is_gone {
            let at = Slot { at: row.slot, serve_at: row.serve_at };
            self.enter(of, &row, at, false);
            self.fail_last(Code::Unauthorized);
        } else {
            if let Some(at) = row.run_at.filter(|_| !by_sim) {
                ran = true;
                self.enter(of, &row, Slot { at, serve_at: at }, true);
            }
            if row.is_active && row.is_sim == by_sim {
                (slot, is_done) = self.plan_slots(of, &row);
            }
        }
        let (n_fired, last_seq) = (0, None);
        self.served.push(Served { row, slot, is_done, ran, n_fired, n_logged, last_seq });
    }

    /// Enters the slots of a row that are due; returns the next, and whether there is none.
    fn plan_slots(&mut self, of: usize, row: &Scheduled) -> (Timestamp, bool) {
        let cron = match row.cron.as_deref().map(Cron::parse) {
            Some(Ok(cron)) => Some(cron),
            None => None,
            // It was understood when it was made, by another version.
            Some(Err(_)) => {
                self.enter(of, row, Slot { at: row.slot, serve_at: row.serve_at }, false);
                self.fail_last(Code::InvalidCron);
                return (row.slot, true);
            }
        };
        let calendar = Calendar {
            id: row.id,
            cron: cron.as_ref(),
            zone: &zone(row.tz.as_deref()),
            jitter_s: row.jitter_s,
            // By the mesh's clock nothing is missed: it stands still while nobody counts.
            missed: if row.is_sim { Missed::All } else { row.missed },
            slot: row.slot,
        };
        let plan = calendar.plan(self.now);
        if let Some((first, last)) = plan.skipped {
            self.enter(of, row, last, false);
            let attempt = self.attempts.last_mut().expect("it was just entered");
            attempt.outcome = Outcome::Missed;
            attempt.detail = Some(since(first));
        }
        for (n, slot) in plan.fires.iter().enumerate() {
            if n > 0 && self.is_full() {
                self.more = true;
                return (slot.at, false);
            }
            self.n_bytes += row.n_bytes();
            self.enter(of, row, *slot, false);
        }
        (plan.next.unwrap_or(row.slot), plan.next.is_none())
    }

    fn enter(&mut self, of: usize, row: &Scheduled, slot: Slot, is_run: bool) {
        let (schedule, at_ms) = (row.id.as_bytes(), slot.at.as_millisecond());
        let id = match is_run {
            true => message_id::of_run(schedule, at_ms),
            false => message_id::of_slot(schedule, at_ms),
        };
        let message_id = Uuid::from_bytes(id);
        let outcome = Outcome::Fired;
        let (code, detail, seq, recipient) = (None, None, None, None);
        self.attempts.push(Attempt { of, slot, message_id, outcome, code, detail, seq, recipient });
    }

    fn fail_last(&mut self, code: Code) {
        self.attempts.last_mut().expect("it was just entered").fail(code);
    }

    /// Takes numbers, and finds where the keys lead.
    pub(super) async fn resolve(&self, db: &impl GenericClient) -> Result<store::Begun> {
        let targets: Vec<store::Target> = self.served.iter().map(key).collect();
        let n_fires = self.attempts.iter().filter(|a| a.outcome == Outcome::Fired).count();
        store::join(db, &targets, n_fires).await
    }

    /// Decides each slot: what is sent where, and what is not.
    pub(super) async fn decide(
        &mut self,
        db: &impl GenericClient,
        begun: &store::Begun,
    ) -> Result<()> {
        let own = self.own(db).await?;
        let mut to: Vec<Option<(i64, i32)>> = Vec::with_capacity(self.served.len());
        for (of, served) in self.served.iter().enumerate() {
            let resolved = begun.targets[of].as_ref().map(|to| (to.mailbox, to.node));
            to.push(match own.get(&of) {
                Some(here) => Some(*here),
                None if served.row.is_own() => Some((served.row.member, 0)),
                None => resolved,
            });
        }
        let mut undelivered = self.undelivered(db).await?;
        let meshes = self.served.iter().map(|served| served.row.mesh).collect();
        let mailboxes = to.iter().flatten().map(|to| to.0).collect();
        let mut room = Room::of(db, &meshes, &mailboxes).await?;
        let mut seqs = begun.seqs.iter();
        for attempt in self.attempts.iter_mut().filter(|a| a.outcome == Outcome::Fired) {
            let served = &mut self.served[attempt.of];
            let seq = *seqs.next().expect("there is a number for every slot");
            if undelivered.contains(&attempt.of) {
                attempt.outcome = Outcome::Overlapped;
                continue;
            }
            if !served.row.is_multicast() {
                let to = to[attempt.of].ok_or(Code::UnknownTarget);
                match to.and_then(|to| room.take(&served.row, to.0).map(|()| to)) {
                    Ok(to) => attempt.recipient = Some(to),
                    Err(code) => {
                        attempt.fail(code);
                        continue;
                    }
                }
                if served.row.overlap == Overlap::Skip {
                    undelivered.insert(attempt.of);
                }
            }
            attempt.seq = Some(seq);
            (served.last_seq, served.n_fired) = (Some(seq), served.n_fired + 1);
        }
        Ok(())
    }

    /// Where those are that are for a session of their creator's, by row.
    async fn own(&self, db: &impl GenericClient) -> Result<HashMap<usize, (i64, i32)>> {
        let of: Vec<usize> =
            (0..self.served.len()).filter(|of| self.served[*of].row.is_own()).collect();
        if of.is_empty() {
            return Ok(HashMap::new());
        }
        let sessions: Vec<i64> = of.iter().map(|of| self.served[*of].row.session).collect();
        let members: Vec<i64> = of.iter().map(|of| self.served[*of].row.member).collect();
        let own = db.prepare_cached(OWN).await?;
        let rows = db.query(&own, &[&sessions, &members]).await?;
        let located = rows.iter().map(|row| {
            let at = usize::try_from(row.get::<_, i64>("i") - 1).expect("ordinals begin at one");
            (of[at], (row.get("session"), row.get("node")))
        });
        Ok(located.collect())
    }

    /// The rows that wait for their last message to be delivered.
    async fn undelivered(&self, db: &impl GenericClient) -> Result<HashSet<usize>> {
        let waits = |served: &Served| match served.row.overlap {
            Overlap::Skip => served.row.last_seq,
            Overlap::Allow => None,
        };
        let seqs: Vec<i64> = self.served.iter().filter_map(waits).collect();
        if seqs.is_empty() {
            return Ok(HashSet::new());
        }
        let undelivered = db.prepare_cached(UNDELIVERED).await?;
        let rows = db.query(&undelivered, &[&seqs]).await?;
        let seqs: HashSet<i64> = rows.iter().map(|row| row.get("seq")).collect();
        let is_undelivered =
            |of: &usize| waits(&self.served[*of]).is_some_and(|seq| seqs.contains(&seq));
        Ok((0..self.served.len()).filter(is_undelivered).collect())
    }

    /// Stores the messages, advances the rows, writes the log.
    pub(super) async fn write(
        &mut self,
        db: &impl GenericClient,
        begun: &store::Begun,
    ) -> Result<()> {
        let messages: Vec<NewMessage<'_>> =
            self.attempts.iter().filter_map(|attempt| self.message(attempt)).collect();
        store::write(db, begun, &messages).await?;
        self.log(db, begun.at).await?;
        let advance = db.prepare_cached(ADVANCE).await?;
        let served = &self.served;
        let ids: Vec<Uuid> = served.iter().map(|s| s.row.id).collect();
        let slots: Vec<Timestamp> = served.iter().map(|s| s.slot).collect();
        let serve_ats: Vec<Timestamp> =
            served.iter().map(|s| serve_at(s.row.id, s.slot, s.row.jitter_s)).collect();
        let runs: Vec<bool> = served.iter().map(|s| s.ran || s.is_done).collect();
        let dones: Vec<bool> = served.iter().map(|s| s.is_done).collect();
        let n_fired: Vec<i64> = served.iter().map(|s| s.n_fired).collect();
        let n_logged: Vec<i64> = served.iter().map(|s| s.n_logged).collect();
        let last_seqs: Vec<Option<i64>> = served.iter().map(|s| s.last_seq).collect();
        db.execute(
            &advance,
            &[&ids, &slots, &serve_ats, &runs, &dones, &n_fired, &n_logged, &last_seqs],
        )
        .await?;
        Ok(())
    }

    fn message(&self, attempt: &Attempt) -> Option<NewMessage<'_>> {
        let row = &self.served[attempt.of].row;
        let is_sealed = row.sealed_to.is_some();
        Some(NewMessage {
            seq: attempt.seq?,
            mesh: row.mesh,
            message_id: attempt.message_id,
            body_hash: None,
            sender: if is_sealed { row.member } else { row.session },
            sender_key: if is_sealed { &row.member_key } else { &row.session_key },
            target: &row.target,
            priority: row.priority,
            nonce: &row.nonce,
            ciphertext: &row.body,
            subtype: row.subtype.as_deref(),
            recipient: attempt.recipient,
        })
    }

    /// Writes what came of each slot, and forgets what is older than the log is long.
    async fn log(&mut self, db: &impl GenericClient, at: Timestamp) -> Result<()> {
        let (mut ids, mut meshes) = (Vec::new(), Vec::new());
        let (mut ns, mut old) = (Vec::new(), Vec::new());
        for attempt in &self.attempts {
            let served = &mut self.served[attempt.of];
            served.n_logged += 1;
            ids.push(served.row.id);
            meshes.push(served.row.mesh);
            ns.push(served.n_logged);
            old.push(served.n_logged - limit::SCHEDULE_FIRES_KEPT);
        }
        let attempts = &self.attempts;
        let slots: Vec<Timestamp> = attempts.iter().map(|a| a.slot.at).collect();
        let ats = vec![at; attempts.len()];
        let late: Vec<i64> = attempts.iter().map(|a| a.slot.late_ms(self.now)).collect();
        let outcomes: Vec<&str> = attempts.iter().map(|a| a.outcome.as_str()).collect();
        let messages: Vec<Option<Uuid>> =
            attempts.iter().map(|a| a.seq.map(|_| a.message_id)).collect();
        let details: Vec<Option<&str>> = attempts.iter().map(|a| a.detail.as_deref()).collect();
        let log = db.prepare_cached(LOG).await?;
        db.execute(
            &log,
            &[&ids, &meshes, &ns, &slots, &ats, &late, &outcomes, &messages, &details],
        )
        .await?;
        let (ids, old): (Vec<Uuid>, Vec<i64>) =
            ids.into_iter().zip(old).filter(|(_, n)| *n > 0).unzip();
        if !ids.is_empty() {
            let forget = db.prepare_cached(FORGET).await?;
            db.execute(&forget, &[&ids, &old]).await?;
        }
        Ok(())
    }

    /// What the caller tells after its commit.
    pub(super) fn fired(self, begun: &store::Begun) -> Fired {
        let xid = begun.xid.parse().unwrap_or(0);
        let mut fired = Fired { n_rows: self.served.len(), more: self.more, ..Fired::default() };
        for attempt in &self.attempts {
            let row = &self.served[attempt.of].row;
            if let Some(seq) = attempt.seq {
                fired.committed.push(Committed {
                    seq,
                    mesh: row.mesh,
                    sender: if row.sealed_to.is_some() { row.member } else { row.session },
                    target: row.target.clone(),
                    xid,
                    recipient: attempt.recipient,
                });
                let late_ms = u64::try_from(attempt.slot.late_ms(self.now)).unwrap_or(0);
                fired.late.push(Duration::from_millis(late_ms));
            }
            if let Some(code) = attempt.code {
                fired.failed.push(Failure {
                    mesh: row.mesh,
                    member: row.member,
                    mesh_id: row.mesh_id.clone(),
                    schedule: row.id,
                    target: row.target.clone(),
                    code,
                });
            }
        }
        fired
    }
}

impl Attempt {
    fn fail(&mut self, code: Code) {
        self.outcome = Outcome::Failed;
        self.code = Some(code);
        self.detail = Some(format!("{}: {}", code.as_str(), code.message()));
    }
}

/// The key that a row's messages go to: the member's that they are sealed to, else as written.
fn key(served: &Served) -> store::Target {
    let row = &served.row;
    (row.mesh, row.sealed_to.as_ref().unwrap_or(&row.target).clone())
}
