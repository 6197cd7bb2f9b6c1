//! One mesh: a session that stays attached to it, and what arrives through it on its way to the
//! host.
//!
//! The task of a mesh outlives everything: a lost edge (the client goes to the next), a member that
//! is refused (asked again later), a session key that somebody else uses (another is taken).
//! Messages go to disk first; what the host is shown is read from there, so that a push that the
//! task never hears of is found at the next one.

mod asks;
mod news;
mod pings;
mod questions;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use skein_crypto::Public;
use skein_wire::hello::Caps;
use tokio::sync::{Mutex, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};

pub use self::asks::words;
use self::pings::Pings;
pub use self::pings::is_ping;
use self::questions::Turns;
use super::Settings;
use super::channel::Channel;
use super::counters::Counters;
use super::fence;
use super::lines::Place;
use super::mailbox::Mailbox;
use super::wishes::Wishes;
use crate::client::asked::Question;
use crate::client::{Client, Closed, Config, Host, Incoming, Keep, Pushes, State};
use crate::home::{Home, Lifetime, Membership, Names, Session};

/// Before a mesh that refused us, or whose files could not be read, is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// A mesh that this process is in.
#[derive(Debug)]
pub struct Mesh {
    /// Its id.
    pub id: String,
    /// Its short name.
    pub slug: String,
    /// What this session reports about itself.
    pub counters: Counters,
    home: Home,
    settings: Settings,
    channel: Arc<Channel>,
    membership: Mutex<Membership>,
    wishes: Mutex<Wishes>,
    names: Mutex<(Names, Option<Instant>)>,
    pings: Pings,
    turns: Turns,
    /// Since when there is no connection, if there is none.
    down_since: std::sync::Mutex<Option<Instant>>,
    /// Whether the server confirms what the contract does not answer: ours does.
    confirms: AtomicBool,
    /// `None` until the first try.
    seat: watch::Sender<Option<Result<Arc<Seat>, String>>>,
}

/// A session of ours: its key, its socket, its mail.
#[derive(Debug)]
pub struct Seat {
    /// The session.
    pub client: Client,
    /// What arrived for it.
    pub mailbox: Mutex<Mailbox>,
    /// Keeps the key ours.
    _session: Session,
}

impl Mesh {
    /// A mesh that [`Mesh::run`] has yet to attach to.
    pub fn new(
        home: &Home,
        settings: &Settings,
        channel: &Arc<Channel>,
        membership: Membership,
    ) -> Self {
        Self {
            id: membership.mesh_id.clone(),
            slug: fence::name(&membership.slug),
            counters: Counters::new(),
            home: home.clone(),
            settings: settings.clone(),
            channel: channel.clone(),
            wishes: Mutex::new(Wishes::of(&membership)),
            names: Mutex::new((home.names(&membership.mesh_id), None)),
            pings: Pings::default(),
            turns: Turns::default(),
            down_since: std::sync::Mutex::new(Some(Instant::now())),
            confirms: AtomicBool::new(false),
            seat: watch::Sender::new(None),
            membership: Mutex::new(membership),
        }
    }

    /// Keeps a session attached until [`Mesh::close`].
    pub async fn run(self: Arc<Self>) {
        // Keys that others use stay locked here, so that the next one is another.
        let mut spent: Vec<Arc<Seat>> = Vec::new();
        loop {
            let (seat, pushes) = match self.sit().await {
                Ok(sat) => sat,
                Err(error) => {
                    warn!(mesh = self.slug, %error, "no session in {}", self.slug);
                    self.seat.send_replace(Some(Err(error.to_string())));
                    sleep(RETRY).await;
                    continue;
                }
            };
            for old in &spent {
                self.carry(old, &seat).await;
            }
            self.seat.send_replace(Some(Ok(seat.clone())));
            match self.serve(&seat, pushes).await {
                Closed::Ours => return,
                Closed::Replaced => spent.push(seat),
                Closed::Rejected(refusal) => {
                    warn!(mesh = self.slug, code = refusal.code, "{}", refusal.message);
                    sleep(RETRY).await;
                    // Only now, so that what waits can be read meanwhile: it frees the key.
                    self.seat.send_replace(None);
                    drop(seat);
                }
            }
        }
    }

    /// What arrived for a session that somebody else goes on with is this one's to show.
    async fn carry(&self, from: &Seat, to: &Seat) {
        let mut from = from.mailbox.lock().await;
        if let Err(error) = to.mailbox.lock().await.take_over(&mut from) {
            warn!(mesh = self.slug, ?error, "mail of the session before stays where it is");
        }
    }

    /// Takes a session key and starts its client.
    async fn sit(&self) -> crate::Result<(Arc<Seat>, Pushes)> {
        let membership = self.membership.lock().await.clone();
        let session = self.home.session(&self.id, Lifetime::Agent)?;
        let inbox = self.home.agent_inbox(&self.id, &session.keys.public);
        let mailbox = Mutex::new(Mailbox::open(&inbox)?);
        let mut config = Config::new(
            membership.edges.clone(),
            &self.id,
            &membership.member_id,
            membership.member()?,
            session.keys.clone(),
        );
        config.display_name = Some(self.settings.name_in(&membership));
        config.caps = Caps { inbox: true, ..config.caps };
        config.keep = Keep::Disk(inbox);
        config.answers = true;
        // No groups: the server then gives the session those that it had.
        config.host = Host {
            session_id: self.settings.session_id.clone().unwrap_or_default(),
            peer_type: Some("ai".into()),
            channel: Some(self.settings.channel.clone()),
            model: self.settings.model.clone(),
        };
        let (client, pushes) = Client::start(config);
        Ok((Arc::new(Seat { client, mailbox, _session: session }), pushes))
    }

    async fn serve(self: &Arc<Self>, seat: &Arc<Seat>, mut pushes: Pushes) -> Closed {
        let mut report = interval(self.settings.report_every);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        report.reset();
        let mut opened = self.channel.watch();
        self.show(seat).await;
        loop {
            tokio::select! {
                incoming = pushes.next() => match incoming {
                    Some(Incoming::Closed(closed)) => return closed,
                    Some(incoming) => self.arrived(seat, incoming).await,
                    None => return Closed::Ours,
                },
                Ok(()) = opened.changed() => self.show(seat).await,
                _ = report.tick() => {
                    tokio::spawn(self.clone().report(seat.client.clone()));
                }
            }
        }
    }

    async fn arrived(self: &Arc<Self>, seat: &Arc<Seat>, incoming: Incoming) {
        match incoming {
            Incoming::Message(message) => {
                if !self.pings.arrived(&message, &seat.client.session()) {
                    self.counters.received();
                }
                self.show(seat).await;
            }
            Incoming::Event(event) => self.happened(&event).await,
            Incoming::Frame { kind, text } => match Question::read(&kind, &text) {
                Some(question) => self.asked(&seat.client, question),
                None => self.said(&kind, &text).await,
            },
            Incoming::Connected { edge, ack } => {
                debug!(mesh = self.slug, %edge, "attached to {}", self.slug);
                self.set_down(None);
                if let Some(count) = ack.left_out.filter(|&count| count > 0) {
                    self.missed(count).await;
                }
                if let Some(saved) = ack.restored_stats.clone() {
                    self.counters.go_on_from(saved);
                }
                let have = ack.restored_groups.unwrap_or_default();
                // On a task of its own: what arrives meanwhile is not held up.
                let mesh = self.clone();
                let client = seat.client.clone();
                tokio::spawn(async move { mesh.attached(&client, &have).await });
            }
            Incoming::Disconnected { edge, reason } => {
                debug!(mesh = self.slug, %edge, %reason, "lost {}", self.slug);
                self.set_down(Some(Instant::now()));
            }
            Incoming::Closed(_) => (),
        }
    }

    fn is_confirming(&self) -> bool {
        self.confirms.load(Ordering::Relaxed)
    }

    fn set_down(&self, since: Option<Instant>) {
        *self.down_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Says who we are where the server does not know it.
    async fn attached(self: Arc<Self>, client: &Client, have: &[skein_wire::groups::Group]) {
        {
            let mut wishes = self.wishes.lock().await;
            wishes.attached(have);
            if let Err(error) = wishes.say(have, client).await {
                debug!(mesh = self.slug, %error, "the rest is said after the next attachment");
            }
        }
        if let Err(error) = self.learn_edges(client).await {
            warn!(mesh = self.slug, %error, "the edges cannot be remembered");
        }
        if let Err(error) = self.peers().await {
            debug!(mesh = self.slug, %error, "names are not known yet");
        }
        self.report(client.clone()).await;
    }

    /// Reports the counters.
    async fn report(self: Arc<Self>, client: Client) {
        if matches!(client.state(), State::Connected(_)) {
            // What fails is said, and more, by the next report.
            if client.tell(&self.counters.report()).await.is_ok() {
                self.confirms.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Remembers edges that the mesh named, for the next start. What the person chose, perhaps
    /// since this session began, stays.
    async fn learn_edges(&self, client: &Client) -> crate::Result<()> {
        let edges = client.edges();
        let mut membership = self.membership.lock().await;
        if membership.learns_from(&edges) {
            let now = self.home.change(&self.id, |membership| membership.learn(edges))?;
            membership.edges = now.edges;
            membership.edges_chosen = now.edges_chosen;
        }
        Ok(())
    }

    /// Another program of this home changed the membership.
    pub async fn changed(&self, now: Membership) {
        let mut wishes = self.wishes.lock().await;
        let have = wishes.groups().to_vec();
        let before = std::mem::replace(&mut *self.membership.lock().await, now.clone());
        if !wishes.changed(&before, &now) {
            return;
        }
        if let Ok(seat) = self.seat()
            && matches!(seat.client.state(), State::Connected(_))
        {
            // What fails is said after the next attachment.
            let _ = wishes.say(&have, &seat.client).await;
        }
    }

    /// Says goodbye.
    pub async fn close(&self) {
        if let Ok(seat) = self.seat() {
            seat.client.close().await;
        }
    }

    /// The session as it is now.
    pub fn seat(&self) -> Result<Arc<Seat>, String> {
        let seat = self.seat.borrow().clone();
        seat.unwrap_or_else(|| Err("the session is just being opened".into()))
    }

    /// Waits until the session has its key, or could not take one.
    pub async fn seated(&self) {
        // The sender is ours, so this cannot fail.
        let _ = self.seat.subscribe().wait_for(Option::is_some).await;
    }

    /// The session's key.
    pub fn key(&self) -> Option<Public> {
        self.seat().ok().map(|seat| seat.client.session())
    }

    /// Whether there is a connection right now.
    pub fn is_connected(&self) -> bool {
        self.seat().is_ok_and(|seat| matches!(seat.client.state(), State::Connected(_)))
    }

    /// Messages to oneself.
    pub fn pings(&self) -> &Pings {
        &self.pings
    }

    /// How lines name this mesh.
    pub fn place(&self) -> Place<'_> {
        Place { slug: &self.slug, id: &self.id }
    }
}
