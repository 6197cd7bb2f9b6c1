//! Runs of peers that send to each other: who sends to whom, for how long, and what came out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use skein_crypto::direct::Pairs;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::body::Body;
use super::course::{Course, Phase};
use super::deployment::{Deployment, Member};
use super::peer::{Pace, Peer, Sender, Source, Tally, Target};
use super::process::{Sample, Watched};
use super::report::{Checks, Figures, Latency};
use super::socket;
use crate::{Error, Result};

/// Sockets that attach at once.
const ATTACH_AT_ONCE: usize = 16;
/// How long what is under way may take when nothing more is sent.
const DRAIN_WITHIN: Duration = Duration::from_secs(60);
/// How long a repeat is waited for when everything has come: messages are settled by then.
const LATE: Duration = Duration::from_millis(300);
/// Between two looks at how far everybody is.
const LOOK: Duration = Duration::from_millis(10);

/// One peer of a run.
#[derive(Debug)]
pub struct Plan {
    /// Who it is.
    pub member: Member,
    /// Where it attaches.
    pub edge: String,
    /// What it sends, if it does.
    pub sender: Option<Sender>,
    /// Whom it receives from.
    pub sources: Vec<Source>,
    /// How many open what it sends.
    pub recipients: u32,
}

/// How long a run is.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    /// Until every sender has sent its quota and all of it came; all of it is measured.
    Quota,
    /// This long, after a warm-up.
    Time {
        /// Not measured.
        warm_up: Duration,
        /// Measured.
        measured: Duration,
    },
}

/// How each peer of a run sends.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Sends of one peer that may be under way.
    pub window: u64,
    /// How many each peer sends, if that is the end of the run.
    pub quota: Option<u64>,
    /// Sends of all peers together in a second, if not as fast as the windows allow.
    pub rate: Option<f64>,
}

impl Manner {
    fn sender(&self, index: usize, senders: usize, targets: Vec<Target>) -> Sender {
        let pace = self.rate.map(|rate| {
            let interval = Duration::from_secs_f64(senders as f64 / rate);
            Pace { interval, offset: interval.mul_f64(index as f64 / senders as f64) }
        });
        Sender { targets, window: self.window, quota: self.quota, pace }
    }
}

fn sealed(member: &Member, flow: usize) -> Target {
    let key = member.session().public;
    Target { key: Some(key), spec: key.hex(), flow: number(flow), next: 0 }
}

fn number(flow: usize) -> u32 {
    u32::try_from(flow).expect("there are fewer than four billion flows")
}

/// Every second member receives from the one before it, which is attached elsewhere.
pub fn direct(deployment: &Deployment, members: Vec<Member>, manner: Manner) -> Vec<Plan> {
    let edges = &deployment.edges;
    let pairs = members.len() / 2;
    let mut plans = Vec::new();
    for (index, two) in members.chunks_exact(2).enumerate() {
        let from = two[0].session().public;
        let sender = manner.sender(index, pairs, vec![sealed(&two[1], index)]);
        plans.push(Plan {
            member: two[0].clone(),
            edge: edges[index % edges.len()].clone(),
            sender: Some(sender),
            sources: Vec::new(),
            recipients: 1,
        });
        plans.push(Plan {
            member: two[1].clone(),
            edge: edges[(index + 1) % edges.len()].clone(),
            sender: None,
            sources: vec![Source::new(2 * index, from, number(index))],
            recipients: 0,
        });
    }
    plans
}

/// The first member sends to all others, which are spread over the edges.
pub fn fan_out(deployment: &Deployment, members: Vec<Member>, manner: Manner) -> Vec<Plan> {
    let edges = &deployment.edges;
    let key = members[0].session().public;
    let recipients = u32::try_from(members.len() - 1).expect("a mesh is smaller");
    let everyone = || Target { key: None, spec: "*".into(), flow: 0, next: 0 };
    let plan = |(index, member): (usize, Member)| {
        let is_sender = index == 0;
        Plan {
            member,
            edge: edges[index % edges.len()].clone(),
            sender: is_sender.then(|| manner.sender(0, 1, vec![everyone()])),
            sources: if is_sender { Vec::new() } else { vec![Source::new(0, key, 0)] },
            recipients: if is_sender { recipients } else { 0 },
        }
    };
    members.into_iter().enumerate().map(plan).collect()
}

/// In a ring over the edges, every member sends to the next one and to the one before, in turn.
pub fn burst(deployment: &Deployment, members: Vec<Member>, manner: Manner) -> Vec<Plan> {
    let edges = &deployment.edges;
    let count = members.len();
    // Two peers are each other's only neighbour.
    let steps: &[usize] = if count > 2 { &[1, count - 1] } else { &[1] };
    let flow = |from: usize, step: usize| from * steps.len() + step;
    let plan = |index: usize| {
        let to = |(number, step)| sealed(&members[(index + step) % count], flow(index, number));
        let from = |(step, far): (usize, &usize)| {
            let from = (index + count - far) % count;
            Source::new(from, members[from].session().public, number(flow(from, step)))
        };
        let targets = steps.iter().enumerate().map(to).collect();
        Plan {
            member: members[index].clone(),
            edge: edges[index % edges.len()].clone(),
            sender: Some(manner.sender(index, count, targets)),
            sources: steps.iter().enumerate().map(from).collect(),
            recipients: 1,
        }
    };
    (0..count).map(plan).collect()
}

/// What a run came to, and what had been spent when it began and when it ended.
#[derive(Debug)]
pub struct Talked {
    /// The result.
    pub figures: Figures,
    /// When the measuring began.
    pub before: Sample,
    /// When it ended.
    pub after: Sample,
}

/// Attaches everybody, lets them talk, and checks what came.
pub async fn run(
    plans: Vec<Plan>,
    unit: &'static str,
    bytes: usize,
    length: Length,
    watched: &[Watched],
) -> Result<Talked> {
    let course = Arc::new(Course::new(plans.iter().map(|plan| plan.recipients)));
    let quotas = plans.iter().filter_map(|plan| plan.sender.as_ref()?.quota);
    let total: u64 = quotas.sum();
    let recipients: Vec<u64> = plans.iter().map(|plan| plan.recipients.into()).collect();
    let mut peers = attach(plans, &course, bytes).await?;

    let (before, from_ns, after, to_ns);
    match length {
        Length::Quota => {
            before = Sample::take(watched)?;
            from_ns = course.measure(true);
            course.enter(Phase::Running);
            drain(&course, total).await?;
            // It ended when the last message came, which is known below.
            to_ns = None;
            after = Sample::take(watched)?;
        }
        Length::Time { warm_up, measured } => {
            course.enter(Phase::Running);
            sleep(warm_up).await;
            before = Sample::take(watched)?;
            from_ns = course.measure(true);
            sleep(measured).await;
            to_ns = Some(course.measure(false));
            after = Sample::take(watched)?;
            course.enter(Phase::Draining);
            drain(&course, 0).await?;
        }
    }
    sleep(LATE).await;
    course.enter(Phase::Over);
    let mut tallies = Vec::new();
    while let Some(tally) = peers.join_next().await {
        tallies.push(tally.expect("a peer's task does not panic"));
    }
    let last_ns = tallies.iter().map(|tally| tally.last_ns).max().unwrap_or(0);
    let to_ns = to_ns.unwrap_or(last_ns);
    let seconds = Duration::from_nanos(to_ns.saturating_sub(from_ns)).as_secs_f64();
    Ok(Talked { figures: figures(&course, &recipients, tallies, unit, seconds), before, after })
}

async fn attach(plans: Vec<Plan>, course: &Arc<Course>, bytes: usize) -> Result<JoinSet<Tally>> {
    let body = Arc::new(Body::new(bytes));
    let sockets = stream::iter(plans).map(|plan| async {
        let socket = socket::attach(&plan.member, &plan.edge).await;
        let socket =
            socket.map_err(|problem| Error::NotConnected(format!("{}: {problem}", plan.edge)));
        socket.map(|socket| (socket, plan))
    });
    let sockets: Vec<_> = sockets.buffered(ATTACH_AT_ONCE).try_collect().await?;
    let mut peers = JoinSet::new();
    for (index, (socket, plan)) in sockets.into_iter().enumerate() {
        let pairs = Pairs::new(&plan.member.session().secret);
        let (course, body) = (course.clone(), body.clone());
        let peer = Peer::new(socket, index, course, body, pairs, plan.sender, plan.sources);
        peers.spawn(peer.run());
    }
    Ok(peers)
}

/// Waits until so many were sent and nothing is under way, or nothing has moved for too long.
async fn drain(course: &Course, total: u64) -> Result<()> {
    let mut moved = (Instant::now(), (0, 0));
    loop {
        if let Some(problem) = course.problem() {
            return Err(Error::NotConnected(problem));
        }
        let counts = course.counts();
        if counts.0 >= total && course.is_drained() {
            return Ok(());
        }
        if counts != moved.1 {
            moved = (Instant::now(), counts);
        }
        if moved.0.elapsed() > DRAIN_WITHIN {
            // What is missing is in the checks.
            return Ok(());
        }
        sleep(LOOK).await;
    }
}

fn figures(
    course: &Course,
    recipients: &[u64],
    tallies: Vec<Tally>,
    unit: &'static str,
    seconds: f64,
) -> Figures {
    let (sent, acked) = course.counts();
    let expected = recipients
        .iter()
        .enumerate()
        .map(|(index, recipients)| course.peer(index).sent.load(Ordering::Relaxed) * recipients);
    let mut checks = Checks { sent, acked, expected: expected.sum(), ..Checks::default() };
    let mut latencies_us = Vec::new();
    for tally in tallies {
        checks.received += tally.received;
        checks.repeated += tally.repeated;
        checks.out_of_order += tally.out_of_order;
        checks.damaged += tally.damaged;
        latencies_us.extend(tally.latencies_us);
    }
    checks.lost = checks.expected.saturating_sub(checks.received);
    let mut figures = Figures::new(unit, latencies_us.len() as u64, seconds).rated();
    figures.latency_ms = Latency::of(latencies_us);
    figures.checks = Some(checks);
    figures
}
