//! Runs of sockets that attach and say nothing more: how fast, and what they cost while idle.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::deployment::Member;
use super::process::{Sample, Watched};
use super::report::{Figures, Latency};
use super::socket::{self, Socket};
use super::talk::Talked;
use crate::client::backoff::Edges;
use crate::{Error, Result};

/// How long a socket tries to attach before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A socket that was attached.
#[derive(Debug)]
pub struct Attached {
    /// It.
    pub socket: Socket,
    /// From the first try on.
    pub took: Duration,
    /// Tries that failed before.
    pub retries: u64,
}

/// Attaches at the current edge or, as a client of ours does, at the next ones, with its pauses.
pub async fn attach(member: &Member, edges: &mut Edges) -> Result<Attached> {
    let since = Instant::now();
    let mut retries = 0;
    loop {
        let edge = edges.current().to_owned();
        let problem = match socket::attach(member, &edge).await {
            Ok(socket) => return Ok(Attached { socket, took: since.elapsed(), retries }),
            Err(problem) => problem,
        };
        if since.elapsed() > PATIENCE {
            return Err(Error::NotConnected(format!("{edge}: {problem}")));
        }
        retries += 1;
        sleep(edges.failed()).await;
    }
}

/// Sockets that are held open.
#[derive(Debug)]
struct Crowd {
    held: JoinSet<()>,
    took_us: Vec<u32>,
    retries: u64,
}

impl Crowd {
    /// Attaches all members, so many at once, spread over the edges.
    async fn gather(members: &[Member], edges: &[String], at_once: usize) -> Result<Self> {
        let attaching =
            stream::iter(members.iter().enumerate()).map(|(index, member)| async move {
                let mut known = edges.to_vec();
                known.rotate_left(index % edges.len());
                attach(member, &mut Edges::new(known)).await
            });
        let crowd = Self { held: JoinSet::new(), took_us: Vec::new(), retries: 0 };
        attaching
            .buffer_unordered(at_once)
            .try_fold(crowd, |mut crowd, attached| async move {
                let took_us = attached.took.as_micros();
                crowd.took_us.push(u32::try_from(took_us).unwrap_or(u32::MAX));
                crowd.retries += attached.retries;
                crowd.held.spawn(hold(attached.socket));
                Ok(crowd)
            })
            .await
    }

    /// An error unless all are still here.
    fn check(&mut self) -> Result<()> {
        match self.held.try_join_next() {
            None => Ok(()),
            Some(_) => Err(Error::NotConnected("sockets were closed during the run".into())),
        }
    }
}

/// Answers pings, and drops what is pushed, until the socket is closed.
async fn hold(mut socket: Socket) {
    while let Some(Ok(_)) = socket.next().await {}
}

/// How fast sockets attach: connection, hello and its answer.
pub async fn hello(
    members: &[Member],
    edges: &[String],
    at_once: usize,
    watched: &[Watched],
) -> Result<Talked> {
    let before = Sample::take(watched)?;
    let since = Instant::now();
    let mut crowd = Crowd::gather(members, edges, at_once).await?;
    let seconds = since.elapsed().as_secs_f64();
    let after = Sample::take(watched)?;
    crowd.check()?;
    let mut figures = Figures::new("hellos", members.len() as u64, seconds).rated();
    figures.more = BTreeMap::from([("retries".into(), crowd.retries as f64)]);
    figures.latency_ms = Latency::of(crowd.took_us);
    Ok(Talked { figures, before, after })
}

/// How long an idle run takes.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    /// From the last hello until it is measured.
    pub settle: Duration,
    /// Measured.
    pub measured: Duration,
}

/// What sockets cost that say nothing: memory for each, and CPU.
pub async fn idle(
    members: &[Member],
    edges: &[String],
    at_once: usize,
    hold: Hold,
    watched: &[Watched],
) -> Result<Talked> {
    let empty = Sample::take(watched)?;
    let mut crowd = Crowd::gather(members, edges, at_once).await?;
    sleep(hold.settle).await;
    let before = Sample::take(watched)?;
    let since = Instant::now();
    sleep(hold.measured).await;
    let seconds = since.elapsed().as_secs_f64();
    let after = Sample::take(watched)?;
    crowd.check()?;
    let mut figures = Figures::new("sockets", members.len() as u64, seconds);
    for ((name, before), (_, after)) in empty.resident().zip(after.resident()) {
        let each = (after as f64 - before as f64) / members.len() as f64;
        figures.more.insert(format!("rssBytesPerSocket {name}"), each);
    }
    Ok(Talked { figures, before, after })
}
