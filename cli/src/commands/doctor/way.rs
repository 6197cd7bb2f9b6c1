//! The hops outside: to each edge, and with a session over those that work.

use std::time::Instant;

use skein_crypto::{Keypair, random};
use skein_wire::Code;

use super::chain::Chain;
use super::report::Name;
use crate::client::socket::Upgraded;
use crate::client::{Config, Host};
use crate::home::Membership;
use crate::probe::Fault;
use crate::probe::health::{self, Said};
use crate::probe::route::{self, Place, Stream};
use crate::probe::talk::{self, NoSession, Session};

/// The close code of an edge that cannot take anybody now.
const TRY_LATER: u16 = 1013;

/// The hops to an edge, and what stands at their end.
pub struct Way {
    /// The edge's socket URL.
    pub url: String,
    /// What was found.
    pub chain: Chain,
    /// A stream that was upgraded, when every hop is well.
    pub reached: Option<Reached>,
}

/// An edge that was reached.
pub struct Reached {
    /// Its socket URL.
    pub url: String,
    stream: Upgraded,
}

/// A fault of a hop that had seemed well.
pub struct Found {
    /// Which hop.
    pub hop: Name,
    /// Its fault.
    pub fault: Fault,
}

/// Goes to an edge.
pub async fn to(mesh: Option<&str>, url: &str) -> Way {
    let mut chain = Chain::new(mesh, Some(url));
    let stream = go(&mut chain, url).await;
    chain.skip_rest(&Name::OF_EDGE);
    let reached = stream.map(|stream| Reached { url: url.to_owned(), stream });
    Way { url: url.to_owned(), chain, reached }
}

async fn go(chain: &mut Chain, url: &str) -> Option<Upgraded> {
    let found = async {
        let place = Place::of(url)?;
        route::resolve(&place).await.map(|addresses| (place, addresses))
    };
    let (place, addresses) = chain
        .hop(Name::Dns, found, |(place, addresses)| {
            let shown = addresses.iter().map(|one| one.ip().to_string()).collect::<Vec<_>>();
            format!("{} is {}", place.host, shown.join(", "))
        })
        .await?;
    let tcp = chain
        .hop(Name::Connect, route::connect(&addresses), |tcp| {
            tcp.peer_addr().map(|peer| format!("to {peer}")).unwrap_or_default()
        })
        .await?;
    let stream = chain.hop(Name::Tls, route::secure(&place, tcp), secured).await?;
    let said = chain.hop(Name::Edge, health::ask(url), answer).await?;
    let since = Instant::now();
    chain.note(Name::Clock, since, health::clock(&said).map(|(words, rest)| ((), words, rest)))?;
    let since = Instant::now();
    let found = health::database(url, &said).await;
    chain.note(Name::Database, since, found.map(|(words, rest)| ((), words, rest)))?;
    chain.hop(Name::Websocket, talk::upgrade(url, stream), |_| "upgraded".into()).await
}

fn secured(stream: &Stream) -> String {
    match stream {
        Stream::Rustls(stream) => {
            let version = stream.get_ref().1.protocol_version();
            version.and_then(|version| version.as_str()).unwrap_or("secured").into()
        }
        _ => "not used: the URL begins with ws://".into(),
    }
}

fn answer(said: &Said) -> String {
    format!("version {}, up {} s", said.health.version, said.health.uptime)
}

/// Talks over the edges that were reached. Returns a fault of an earlier hop that only the hello
/// could find, and whose.
pub async fn talk(
    membership: &Membership,
    reached: Vec<Reached>,
    chain: &mut Chain,
) -> Option<(String, Found)> {
    let found = converse(membership, reached, chain).await;
    chain.skip_rest(&[Name::Hello, Name::Delivery]);
    found
}

async fn converse(
    membership: &Membership,
    reached: Vec<Reached>,
    chain: &mut Chain,
) -> Option<(String, Found)> {
    let mut reached = reached.into_iter();
    let first = reached.next()?;
    let here = Keypair::generate();
    let since = Instant::now();
    let mut session = match greet(membership, &here, first.stream).await {
        Ok(session) => session,
        Err(problem) => {
            let found = elsewhere(&first.url, &problem).await;
            if found.is_none() {
                let fault = Err::<((), _, _), _>(hello_fault(&problem));
                chain.note(Name::Hello, since, fault);
            }
            return found.map(|found| (first.url, found));
        }
    };
    let detail = format!("taken as {}", membership.display_name);
    chain.note(Name::Hello, since, Ok(((), detail, None)));

    let echoed = async {
        let text = probe_text();
        let id = session.send(&here, &text).await.map_err(not_stored)?;
        came(session.receive(&here, &id).await, &text)
    };
    let well = chain.hop(Name::Delivery, echoed, |()| "a sealed message came back".into()).await;
    if let (Some(()), Some(other)) = (well, reached.last()) {
        let from = other.url.clone();
        let crossed = cross(membership, other, &mut session, &here);
        let words = |(): &()| format!("and one came from {from}");
        chain.hop(Name::Delivery, crossed, words).await;
    }
    session.close().await;
    None
}

/// Sends from another edge to the session here.
async fn cross(
    membership: &Membership,
    other: Reached,
    here: &mut Session,
    to: &Keypair,
) -> Result<(), Fault> {
    let from = Keypair::generate();
    let greeted = greet(membership, &from, other.stream).await;
    let mut session = greeted.map_err(|problem| hello_fault(&problem))?;
    let text = probe_text();
    let id = session.send(to, &text).await.map_err(not_stored)?;
    let received = here.receive(&from, &id).await;
    session.close().await;
    came(received, &text)
}

async fn greet(
    membership: &Membership,
    session: &Keypair,
    stream: Upgraded,
) -> Result<Session, NoSession> {
    let lost = |what: String| NoSession::Lost { code: None, what };
    let member = membership.member().map_err(|error| lost(error.to_string()))?;
    let mut config = Config::new(
        membership.edges.clone(),
        &membership.mesh_id,
        &membership.member_id,
        member,
        session.clone(),
    );
    config.display_name = Some(membership.display_name.clone());
    config.host =
        Host { peer_type: Some("human".into()), channel: Some("skein".into()), ..Host::default() };
    Session::greet(stream, &config).await
}

/// What a hello without an answer says of an earlier hop.
async fn elsewhere(url: &str, problem: &NoSession) -> Option<Found> {
    match problem {
        NoSession::Refused(refusal) if refusal.code == Code::TimestampSkew.as_str() => {
            let words = "the edge refused the hello: its timestamp is more than a minute off";
            Some(Found { hop: Name::Clock, fault: health::skewed(words.into()) })
        }
        NoSession::Refused(_) => None,
        NoSession::Lost { code, what } => {
            // The edge may have lost its database since it was asked.
            let said = health::ask(url).await.ok()?;
            let is_away = said.health.db != "up";
            is_away.then(|| {
                let closed = if *code == Some(TRY_LATER) { "turned the hello away" } else { what };
                let words = format!("the edge's database is {}; it {closed}", said.health.db);
                Found { hop: Name::Database, fault: health::away(words) }
            })
        }
    }
}

fn hello_fault(problem: &NoSession) -> Fault {
    match problem {
        NoSession::Refused(refusal) => {
            let error = crate::Error::from(refusal.clone());
            let fix = error.hint().unwrap_or_else(|| "look at the edge's log".into());
            Fault::new(format!("refused: {} ({})", refusal.message, refusal.code), fix)
        }
        NoSession::Lost { code: Some(TRY_LATER), .. } => {
            Fault::new("the edge takes nobody now (1013)", "wait a moment; its log says why")
        }
        NoSession::Lost { what, .. } => Fault::new(
            what,
            "look at the edge's log, and at what stands between here and it: it may cut sockets",
        ),
    }
}

/// Unlike any other.
fn probe_text() -> String {
    format!("skein doctor {}", hex::encode(random::<8>()))
}

fn not_stored(problem: String) -> Fault {
    let fix = "the edge could not store it: look at its log and at the database's disk";
    Fault::new(format!("a message was not stored: {problem}"), fix)
}

fn came(received: Result<String, String>, sent: &str) -> Result<(), Fault> {
    match received {
        Ok(text) if text == sent => Ok(()),
        Ok(_) => Err(Fault::new("another text came back", "look at what stands in between")),
        Err(problem) => {
            let fix = "it is stored and will come; look at the log of the edge for its database \
                       connections: a pooler in transaction mode loses what they listen for";
            Err(Fault::new(format!("a message was stored and did not come: {problem}"), fix))
        }
    }
}
