//! An edge that goes away: how long until all of its sessions are attached elsewhere and have what
//! was on its way to them.
//!
//! Every session sends to the next one of its mesh, and leaves unsettled what it receives. Then the
//! edge is killed, or every socket is dropped without a goodbye. From that moment on each session
//! does what our client does: it tries the other edges after its first pause, receives everything
//! again, and settles it. It is drained when all of that has come, in order, and `received` is
//! written.

mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use rustix::process::{Pid, Signal, kill_process};
use skein_crypto::direct::Pairs;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::session::{Back, Faults, Session, Shared, Step};
use super::body::Body;
use super::crowd;
use super::deployment::Member;
use super::process::{Sample, Watched};
use super::report::{Checks, Figures, Latency};
use super::talk::Talked;
use crate::client::backoff::Edges;
use crate::{Error, Result};

/// How long any step may take for all sessions.
const STEP_WITHIN: Duration = Duration::from_secs(120);
/// Between two looks at how many are done with a step.
const LOOK: Duration = Duration::from_millis(5);

/// What is to happen.
#[derive(Debug, Clone)]
pub struct Loss {
    /// All edges; the first one goes away.
    pub edges: Vec<String>,
    /// The process of the first edge, if it is to be killed.
    pub kill: Option<u32>,
    /// Messages that every session has not settled then.
    pub unsettled: usize,
    /// Bytes of each.
    pub bytes: usize,
    /// Members of a mesh.
    pub mesh_size: usize,
    /// Sockets that attach at once, before the loss; after it, all do.
    pub at_once: usize,
}

/// Fills, loses the edge, and waits until everybody is back.
pub async fn run(members: Vec<Member>, loss: Loss, watched: &[Watched]) -> Result<Talked> {
    let (step, stepped) = watch::channel(Step::Attach);
    let (filled, drained) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let body = Body::new(loss.bytes);
    let shared = Arc::new(Shared { loss, body, filled, drained });
    let mut sessions = attach(&members, &shared, &stepped).await?;
    step.send_replace(Step::Fill);
    reach(&shared.filled, members.len(), &mut sessions).await?;

    let before = Sample::take(watched)?;
    let since = Instant::now();
    // First, so that no session takes the loss for an early one.
    step.send_replace(Step::Lose);
    if let Some(pid) = shared.loss.kill {
        let pid = Pid::from_raw(pid.cast_signed());
        let pid = pid.ok_or_else(|| Error::Usage("--kill wants a process id".into()))?;
        kill_process(pid, Signal::KILL).map_err(|error| Error::Io(error.into()))?;
    }
    reach(&shared.drained, members.len(), &mut sessions).await?;
    // The edge that was killed cannot be looked at any more.
    let alive: Vec<_> = watched.iter().filter(|one| Some(one.pid) != shared.loss.kill).collect();
    let after = Sample::take(&alive.into_iter().cloned().collect::<Vec<_>>())?;
    step.send_replace(Step::Leave);

    let mut back = Vec::new();
    while let Some(session) = sessions.join_next().await {
        back.push(session.expect("a session's task does not panic")?);
    }
    let figures = figures(&back, since, shared.loss.unsettled);
    Ok(Talked { figures, before: before.without(shared.loss.kill), after })
}

async fn attach(
    members: &[Member],
    shared: &Arc<Shared>,
    step: &watch::Receiver<Step>,
) -> Result<JoinSet<Result<Back>>> {
    let size = shared.loss.mesh_size;
    let attaching = stream::iter(0..members.len()).map(|index| async move {
        let mesh = index / size * size;
        let count = size.min(members.len() - mesh);
        let neighbour = |step: usize| members[mesh + (index - mesh + step) % count].clone();
        let member = members[index].clone();
        let session = Session {
            pairs: Pairs::new(&member.session().secret),
            from: neighbour(count - 1),
            to: neighbour(1),
            edges: Edges::new(shared.loss.edges.clone()),
            shared: shared.clone(),
            step: step.clone(),
            member,
        };
        let mut first = Edges::new(vec![shared.loss.edges[0].clone()]);
        let attached = crowd::attach(&session.member, &mut first).await;
        attached.map(|attached| (session, attached.socket))
    });
    let sessions = JoinSet::new();
    attaching
        .buffer_unordered(shared.loss.at_once)
        .try_fold(sessions, |mut sessions, (session, socket)| async move {
            sessions.spawn(session.run(socket));
            Ok(sessions)
        })
        .await
}

/// Waits until all sessions are done with a step; no session ends before the last one.
async fn reach(
    done: &AtomicUsize,
    count: usize,
    sessions: &mut JoinSet<Result<Back>>,
) -> Result<()> {
    let until = Instant::now() + STEP_WITHIN;
    while done.load(Ordering::Relaxed) < count {
        if let Some(ended) = sessions.try_join_next() {
            let ended = ended.expect("a session's task does not panic");
            return Err(ended.err().unwrap_or(Error::Local("a session ended early".into())));
        }
        if Instant::now() > until {
            let done = done.load(Ordering::Relaxed);
            let within = STEP_WITHIN.as_secs();
            return Err(Error::Local(format!("{done} of {count} sessions within {within} s")));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

fn figures(back: &[Back], since: Instant, unsettled: usize) -> Figures {
    let last = |moment: fn(&Back) -> Instant| {
        let moments = back.iter().map(moment).map(|at| at.duration_since(since).as_secs_f64());
        moments.fold(0.0, f64::max)
    };
    let (attached, drained) = (last(|one| one.attached), last(|one| one.drained));
    let retries: u64 = back.iter().map(|one| one.retries).sum();
    let count = (back.len() * unsettled) as u64;
    let mut figures = Figures::new("sessions", back.len() as u64, drained).rated();
    figures.more = BTreeMap::from([
        ("attachedSeconds".into(), attached),
        ("drainedSeconds".into(), drained),
        ("retries".into(), retries as f64),
    ]);
    figures.latency_ms = Latency::of(back.iter().map(|one| {
        u32::try_from(one.drained.duration_since(since).as_micros()).unwrap_or(u32::MAX)
    }));
    // A session that misses a message, or gets a damaged one, ends the run. Each comes twice: before
    // the loss and after it.
    let faults = |count: fn(&Faults) -> u64| back.iter().flat_map(|one| &one.came).map(count).sum();
    figures.checks = Some(Checks {
        sent: count,
        acked: count,
        expected: 2 * count,
        received: 2 * count,
        repeated: faults(|one| one.repeated),
        out_of_order: faults(|one| one.out_of_order),
        ..Checks::default()
    });
    let early: u64 = back.iter().map(|one| one.came[0].out_of_order).sum();
    figures.more.insert("outOfOrderBeforeLoss".into(), early as f64);
    figures
}
