//! Hello: who may attach, decided in the contract's order, and committed in batches.
//!
//! A hello's own faults are found by its connection; what only the database knows is asked for a
//! whole batch. The attachment is committed first; the intake then reads the session's page in a
//! newer snapshot, acknowledges, and serves it. See delivery.md 7.

mod checked;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use jiff::Timestamp;
use serde_json::json;
use skein_sql::{
    Error, GenericClient, Pool,
    attach::{self, Arrival, Attached, Claim},
    audit::{self, Actor, Note as Audited},
    fail, nodes, nonces, serve,
};
use skein_wire::{
    Code, Status,
    audit::Event as Happened,
    groups::Group,
    hello::{Caps, HelloAck, SERVES},
    limit,
};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};
use uuid::Uuid;

pub use self::checked::Checked;
use crate::{
    intake::{Arrived, In},
    measure,
    note::{Event, Note},
    push,
    session::{Identity, Live, Outbox, Session},
    teller::Tell,
};

/// A hello that waits for its batch.
#[derive(Debug)]
pub struct Waiting {
    /// What was said; the fault found in it, if any, comes after the mesh's capacity.
    pub hello: Box<Checked>,
    /// The way to its socket.
    pub out: Outbox,
    /// When it was read.
    pub since: Instant,
    /// What became of it; closed when the socket has gone.
    pub verdict: oneshot::Sender<Result<Accepted, Code>>,
}

/// A hello that was accepted; live when `ready` fires.
#[derive(Debug)]
pub struct Accepted {
    /// The session.
    pub session: Arc<Session>,
    /// Fires when the session's acknowledgement is on its way.
    pub ready: oneshot::Receiver<()>,
}

/// What attaching needs.
#[derive(Debug)]
pub struct Greeter {
    /// This node.
    pub node: i32,
    /// Its own connection.
    pub pool: Pool,
    /// Sockets a mesh may have when it says nothing itself.
    pub peers_max: i64,
    /// The node's intake.
    pub intake: mpsc::UnboundedSender<In>,
    /// The node's teller.
    pub teller: mpsc::UnboundedSender<Tell>,
}

impl Greeter {
    /// Attaches what comes, until nobody can come any more.
    pub async fn run(self, mut hellos: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::new();
        let mut later: Vec<Waiting> = Vec::new();
        loop {
            batch.append(&mut later);
            if batch.is_empty() && hellos.recv_many(&mut batch, limit::HELLO_BATCH_MAX).await == 0 {
                return;
            }
            // Those that had to wait for the same session hold up no others.
            while batch.len() < limit::HELLO_BATCH_MAX
                && let Ok(waiting) = hellos.try_recv()
            {
                batch.push(waiting);
            }
            // Whoever has gone, or has given up by now, costs no statement.
            batch.retain(|waiting| {
                !waiting.verdict.is_closed() && waiting.since.elapsed() < limit::HELLO_AGE_MAX
            });
            later = twice(&mut batch);
            let mut turns = vec![std::mem::take(&mut batch)];
            while let Some(mut turn) = turns.pop() {
                match self.once(&mut turn).await {
                    Ok(()) => (),
                    Err(error) if error.is_fenced() => return,
                    // One of them waits for a lock, perhaps of an edge that is paused.
                    Err(error) if error.is_retriable() && turn.len() > 1 => {
                        debug!(%error, n_hellos = turn.len(), "attaching one by one");
                        turns.extend(turn.into_iter().rev().map(|waiting| vec![waiting]));
                    }
                    // Their sockets close, and the clients come back.
                    Err(error) => warn!(%error, "hellos could not be attached"),
                }
            }
        }
    }

    /// Attaches a batch; it is taken only when everything is committed.
    async fn once(&self, batch: &mut Vec<Waiting>) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut db = self.pool.get().await?;
        let meshes: Vec<&str> = batch.iter().map(|w| w.hello.mesh_id.as_str()).collect();
        let pubkeys: Vec<&str> = batch.iter().map(|w| w.hello.pubkey()).collect();
        let keys: Vec<&str> = batch.iter().map(|w| w.hello.key()).collect();
        let transaction = db.transaction().await?;
        let claims = attach::look_up(&transaction, &meshes, &pubkeys, &keys).await?;
        let mut verdicts = self.judge_all(batch, claims);
        let accepted: Vec<&Waiting> = batch
            .iter()
            .zip(&verdicts)
            .filter_map(|(waiting, verdict)| verdict.is_ok().then_some(waiting))
            .collect();
        // Signatures that came with a proof go first: without it they are good for no other key.
        let mut nonces: Vec<Vec<u8>> =
            accepted.iter().filter_map(|w| w.hello.proved_signature()).collect();
        let n_proved = nonces.len();
        nonces.extend(accepted.iter().map(|w| w.hello.nonce()));
        let unseen = nonces::take_all(&transaction, &nonces).await?;
        let mut unseen = unseen.into_iter().skip(n_proved);
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.is_ok()) {
            if !unseen.next().unwrap_or(false) {
                *verdict = Err(Code::Replayed);
            }
        }
        let (arrivals, verdicts) = split(verdicts);
        let attached = attach::attach(&transaction, self.node, &arrivals).await?;
        note(&transaction, &arrivals, &attached).await?;
        let edges = nodes::edges(&transaction).await?;
        fail::point("attach.before_commit").await;
        transaction.commit().await?;

        let mut attached = arrivals.into_iter().zip(attached);
        let mut joined = Vec::new();
        for (waiting, verdict) in batch.drain(..).zip(verdicts) {
            match verdict {
                Err(code) => reject(waiting, code),
                Ok(()) => match attached.next() {
                    Some((arrival, Some(attached))) => {
                        joined.extend(self.welcome(waiting, arrival, attached, &edges));
                    }
                    _ => reject(waiting, Code::Unauthorized),
                },
            }
        }
        if !joined.is_empty() {
            // The teller lives as long as the node.
            let _ = self.teller.send(Tell::Events(joined));
        }
        Ok(())
    }

    /// Judges a batch; those of it that take a place of their mesh count beside those that were
    /// counted.
    fn judge_all(&self, batch: &[Waiting], claims: Vec<Claim>) -> Vec<Result<Arrival, Code>> {
        let mut joining: HashMap<i64, i64> = HashMap::new();
        let judged = batch.iter().zip(claims).map(|(waiting, mut claim)| {
            let joining = joining.entry(claim.mesh.unwrap_or(0)).or_default();
            claim.peers += *joining;
            let verdict = self.judge(&waiting.hello, &claim);
            *joining += i64::from(verdict.is_ok() && !claim.attached);
            verdict
        });
        judged.collect()
    }

    /// Judges a hello by what the database knows, in the contract's order.
    fn judge(&self, checked: &Checked, claim: &Claim) -> Result<Arrival, Code> {
        let peers_max = claim.peers_max.unwrap_or(self.peers_max);
        if claim.mesh.is_some() && claim.peers - i64::from(claim.attached) >= peers_max {
            return Err(Code::Capacity);
        }
        let hello = checked.verdict.as_ref().map_err(|code| *code)?;
        let (Some(mesh), Some((member, member_id, member_name))) = (claim.mesh, &claim.member)
        else {
            return Err(Code::Unauthorized);
        };
        let is_own = claim.session_member.is_none_or(|owner| owner == *member);
        let is_proved = hello.session_proof.is_some() || !claim.proved;
        if *member_id != hello.member_id || !is_own || claim.of_another || !is_proved {
            return Err(Code::Unauthorized);
        }
        let groups: &[Group] = hello.groups.as_deref().unwrap_or_default();
        let name = hello.display_name.as_deref().filter(|name| !name.is_empty());
        let caps = Caps::of(hello.caps.as_deref().unwrap_or_default());
        Ok(Arrival {
            mesh,
            member: *member,
            key: checked.key().to_owned(),
            proved: hello.session_proof.is_some(),
            display_name: name.unwrap_or(member_name).to_owned(),
            session_id: hello.session_id.clone(),
            pid: hello.pid,
            cwd: hello.cwd.clone(),
            hostname: hello.hostname.clone(),
            peer_type: hello.peer_type.clone(),
            channel: hello.channel.clone(),
            model: hello.model.clone(),
            groups: (!groups.is_empty()).then(|| json!(groups)),
            presence_id: Uuid::new_v4().simple().to_string(),
            inbox: caps.inbox,
        })
    }

    /// Hands an attached session to the intake and closes its older socket. Returns what the mesh is
    /// to be told.
    fn welcome(
        &self,
        waiting: Waiting,
        arrival: Arrival,
        attached: Attached,
        edges: &[String],
    ) -> Option<Event> {
        let hello = waiting.hello.verdict.ok()?;
        let caps = Caps::of(hello.caps.as_deref().unwrap_or_default());
        let groups: Vec<Group> = serde_json::from_value(attached.groups).unwrap_or_default();
        let restored = attached.last_seen.is_some();
        let given_groups = hello.groups.as_ref().is_some_and(|g| !g.is_empty());
        let ack = HelloAck {
            presence_id: arrival.presence_id.clone(),
            member_display_name: arrival.display_name.clone(),
            restored: restored.then_some(true),
            last_summary: attached.summary.clone().filter(|s| restored && !s.is_empty()),
            last_seen_at: attached.last_seen.map(skein_sql::iso),
            restored_groups: (restored && !given_groups && !groups.is_empty())
                .then(|| groups.clone()),
            restored_stats: attached
                .totals
                .filter(|_| restored)
                .and_then(|totals| serde_json::from_value(totals).ok()),
            services: Vec::new(),
            edges: (caps.replies && !edges.is_empty()).then(|| edges.to_vec()),
            left_out: None,
            serves: caps.replies.then(|| SERVES.map(str::to_owned).to_vec()),
        };
        let live = Live {
            status: Status::parse(&attached.status).unwrap_or_default(),
            groups: groups.clone(),
            visible: attached.visible,
            status_changes: 0,
        };
        let identity = Identity {
            mailbox: attached.mailbox,
            attach_no: attached.attach_no,
            mesh: arrival.mesh,
            mesh_id: hello.mesh_id.as_str().into(),
            member: arrival.member,
            key: arrival.key.clone(),
            presence_id: arrival.presence_id,
            name: arrival.display_name.clone(),
            caps,
        };
        let place = u64::try_from(attached.log_place).unwrap_or(0);
        let session = Arc::new(Session::new(identity, live, place, waiting.out));
        info!(mesh = %session.mesh_id, session = %session.key, no = session.attach_no,
              "{} attached", session.name);
        measure::accepted();

        let (live, ready) = oneshot::channel();
        let returns = caps.ack && !attached.is_new;
        let start = serve::Start {
            place: if returns { attached.log_place } else { attached.xmin },
            snapshot: (!returns).then_some((attached.snapshot, attached.at)),
        };
        let arrived = Arrived { session: session.clone(), ack, start, ready: live };
        let _ = self.intake.send(In::Attach(Box::new(arrived)));
        if let Some((node, _)) = attached.replaced.filter(|(node, _)| *node != self.node) {
            let note = Note::Replaced { session: session.mailbox, no: session.attach_no };
            let _ = self.teller.send(Tell::To(vec![node], note));
        }
        let event = attached
            .announce
            .then(|| joined(&session, &groups, attached.last_seen, attached.summary.as_deref()));
        // A socket that has gone meanwhile is found out by whoever holds `ready`.
        if waiting.verdict.send(Ok(Accepted { session: session.clone(), ready })).is_err() {
            session.out.close(1001, "gone");
            let (done, _) = oneshot::channel();
            let _ = self.intake.send(In::Detach(session, done));
        }
        event
    }
}

/// Notes in the audit log who is here that was not.
async fn note(
    db: &impl GenericClient,
    arrivals: &[Arrival],
    attached: &[Option<Attached>],
) -> Result<(), Error> {
    let here = arrivals.iter().zip(attached).filter_map(|(arrival, attached)| {
        let attached = attached.as_ref().filter(|attached| attached.announce)?;
        let groups: Vec<Group> =
            serde_json::from_value(attached.groups.clone()).unwrap_or_default();
        Some((arrival, groups, attached.last_seen.is_some()))
    });
    let here: Vec<(&Arrival, Vec<Group>, bool)> = here.collect();
    let notes = here.iter().map(|(arrival, groups, restored)| Audited {
        mesh: arrival.mesh,
        actor: Actor::Member(arrival.member, &arrival.display_name),
        event: Happened::peer_joined(&arrival.key, groups, *restored),
        at: None,
    });
    let notes: Vec<Audited<'_>> = notes.collect();
    audit::add_all(db, &notes).await
}

/// The event that a session is here.
fn joined(
    session: &Session,
    groups: &[Group],
    last_seen: Option<Timestamp>,
    summary: Option<&str>,
) -> Event {
    let mut data = json!({"name": session.name, "pubkey": session.key, "groups": groups});
    let name = if let Some(seen) = last_seen {
        data["lastSeenAt"] = json!(skein_sql::iso(seen));
        if let Some(summary) = summary.filter(|s| !s.is_empty()) {
            data["summary"] = json!(summary);
        }
        "peer_returned"
    } else {
        "peer_joined"
    };
    Event {
        mesh: session.mesh,
        except: Some(session.mailbox),
        about: session.mailbox,
        no: session.attach_no,
        push: push::event(&session.mesh_id, name, data),
    }
}

/// The arrivals on their own, and for each hello whether it is among them.
fn split(verdicts: Vec<Result<Arrival, Code>>) -> (Vec<Arrival>, Vec<Result<(), Code>>) {
    let mut arrivals = Vec::new();
    let kept = verdicts.into_iter().map(|verdict| verdict.map(|arrival| arrivals.push(arrival)));
    let kept = kept.collect();
    (arrivals, kept)
}

fn reject(waiting: Waiting, code: Code) {
    measure::rejected(code);
    // A socket that has gone wants no answer.
    let _ = waiting.verdict.send(Err(code));
}

/// Takes out the hellos of sessions that are in the batch already: they attach in the next.
fn twice(batch: &mut Vec<Waiting>) -> Vec<Waiting> {
    let mut met = HashSet::new();
    let (first, later) = std::mem::take(batch).into_iter().partition(|waiting| {
        waiting.hello.verdict.is_err()
            || met.insert((waiting.hello.mesh_id.clone(), waiting.hello.key().to_owned()))
    });
    *batch = first;
    later
}
