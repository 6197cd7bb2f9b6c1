//! One mesh at a glance.

use std::time::Instant;

use futures_util::future::join_all;
use serde::Serialize;
use skein_wire::Status;
use skein_wire::groups::Group;
use skein_wire::presence::ListPeers;

use crate::Result;
use crate::client::inbox::Shown;
use crate::commands::{Context, attach};
use crate::home::{Lifetime, Membership};
use crate::probe::health::{self, Answer};

/// What there is to see of a mesh. What could not be asked is `null`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Glance {
    /// Its id.
    pub mesh_id: String,
    /// Its short name.
    pub slug: String,
    /// What others call us there.
    pub display_name: String,
    /// Whether the owner's key is here.
    pub owner: bool,
    /// Whether an edge took us.
    pub connected: bool,
    /// Which one.
    pub edge: Option<String>,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
    /// Why none did.
    pub problem: Option<String>,
    /// Every edge that is known, the best first.
    pub edges: Vec<Edge>,
    /// Sessions of others that are here.
    pub peers: Option<usize>,
    /// Sessions of ours that are here, without this command's.
    pub sessions: Option<usize>,
    /// Messages that were not read yet.
    pub unread: usize,
    /// What our long-lived sessions say they are doing.
    pub status: Option<Status>,
    /// What they say they work on.
    pub summary: Option<String>,
    /// The groups they are in.
    pub groups: Vec<Group>,
}

/// An edge at a glance.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// Its socket URL.
    pub url: String,
    /// Whether anything answers there.
    #[serde(skip)]
    pub answers: bool,
    /// Its version.
    pub version: Option<String>,
    /// Whether its database answers: `up` or `down`.
    pub database: Option<String>,
    /// How long its answer took, in milliseconds.
    pub took_ms: Option<f64>,
    /// Why there was none, or what is wrong with it.
    pub problem: Option<String>,
}

/// Looks at a mesh.
pub async fn at(context: &Context, membership: &Membership) -> Result<Glance> {
    let mut glance = Glance {
        mesh_id: membership.mesh_id.clone(),
        slug: membership.slug.clone(),
        display_name: membership.display_name.clone(),
        owner: membership.owner_secret.is_some(),
        connected: false,
        edge: None,
        took_ms: 0,
        problem: None,
        edges: join_all(membership.edges.iter().map(|url| edge(url))).await,
        peers: None,
        sessions: None,
        unread: Shown::open(&context.home.inbox(&membership.mesh_id))?.waiting()?,
        status: membership.status,
        summary: membership.summary.clone(),
        groups: membership.groups.clone(),
    };
    // Those that do not answer need not be waited for. One that is unwell is asked all the same,
    // after the others: only the hello says whether it takes us.
    let mut answering: Vec<&Edge> = glance.edges.iter().filter(|edge| edge.answers).collect();
    answering.sort_by_key(|edge| edge.problem.is_some());
    if answering.is_empty() {
        glance.problem = glance.edges.first().and_then(|edge| edge.problem.clone());
        return Ok(glance);
    }
    let mut reachable = membership.clone();
    reachable.edges = answering.into_iter().map(|edge| edge.url.clone()).collect();
    connect(context, membership, &reachable, &mut glance).await?;
    Ok(glance)
}

async fn connect(
    context: &Context,
    membership: &Membership,
    reachable: &Membership,
    glance: &mut Glance,
) -> Result<()> {
    let since = Instant::now();
    let attached = attach::start(context, reachable, Lifetime::Short)?;
    let client = &attached.client;
    let ready = client.ready(attach::PATIENCE).await;
    glance.took_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    match ready {
        Ok(()) => {
            glance.connected = true;
            glance.edge = client.edge();
            if let Ok(list) = client.request(&ListPeers {}).await {
                let own = client.session().hex();
                let member = membership.member()?.public.hex();
                let others = list.peers.iter().filter(|peer| peer.pubkey != own);
                let (ours, peers): (Vec<_>, Vec<_>) =
                    others.partition(|peer| peer.member_pubkey.as_ref() == Some(&member));
                (glance.peers, glance.sessions) = (Some(peers.len()), Some(ours.len()));
            }
            learn(context, membership, &client.edges())?;
        }
        Err(error) => glance.problem = Some(error.to_string()),
    }
    client.close().await;
    Ok(())
}

/// Remembers edges that the mesh named, and forgets none that did not answer just now.
fn learn(context: &Context, membership: &Membership, named: &[String]) -> Result<()> {
    let new: Vec<_> = named.iter().filter(|edge| !membership.edges.contains(edge)).collect();
    if new.is_empty() || membership.edges_chosen {
        return Ok(());
    }
    context.home.change(&membership.mesh_id, |membership| {
        let known = membership.edges.iter().chain(new).cloned().collect();
        membership.learn(known);
    })?;
    Ok(())
}

async fn edge(url: &str) -> Edge {
    let since = Instant::now();
    let answer = health::answer(url).await;
    let took = since.elapsed().as_secs_f64() * 1000.0;
    let url = url.to_owned();
    let answers = !matches!(answer, Answer::None(_));
    match answer {
        Answer::Said(said) => Edge {
            url,
            answers,
            problem: (said.health.db != "up")
                .then(|| format!("{}, database {}", said.health.status, said.health.db)),
            version: Some(said.health.version),
            database: Some(said.health.db),
            took_ms: Some((took * 10.0).round() / 10.0),
        },
        Answer::Other(fault) | Answer::None(fault) => Edge {
            url,
            answers,
            version: None,
            database: None,
            took_ms: None,
            problem: Some(fault.what),
        },
    }
}
