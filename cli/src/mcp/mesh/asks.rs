//! What tools ask of a mesh, and say to it.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use skein_wire::presence::{ListPeers, Peer};
use skein_wire::push::SYSTEM;
use skein_wire::schedules::REMINDER;
use skein_wire::webhooks::SENDER;
use skein_wire::{Call, Refusal};

use super::Mesh;
use crate::client::message::Message;
use crate::client::{Client, REQUEST_DEADLINE, RequestError, names};
use crate::commands;
use crate::home::Membership;
use crate::mcp::fence;
use crate::mcp::wishes::Wishes;

/// How long a tool waits for a connection that is on its way.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a list of names is believed.
const NAMES_AGE_MAX: Duration = Duration::from_secs(30);
/// What the text of a tool ends with when a server of the old kind was told something.
const UNCONFIRMED: &str = " (said; this server does not confirm it)";

impl Mesh {
    /// The session, attached; or why it is not. A connection that was lost, or begun, a moment ago
    /// is waited for; one that is long gone holds nobody up.
    pub async fn client(&self) -> Result<Client, String> {
        let seat = self.seat().map_err(|problem| format!("not connected: {problem}"))?;
        let down = *self.down_since.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = down.map_or(PATIENCE, |since| PATIENCE.saturating_sub(since.elapsed()));
        seat.client.ready(patience).await.map_err(|error| error.to_string())?;
        Ok(seat.client.clone())
    }

    /// Asks something of the server, and reads the reply; or why there is none, in words.
    pub async fn ask<C: Call>(&self, call: &C) -> Result<C::Reply, String>
    where
        C::Reply: DeserializeOwned,
    {
        self.ask_within(call, REQUEST_DEADLINE).await
    }

    /// The same with a patience of the caller's own: some questions go on to another peer.
    pub async fn ask_within<C: Call>(
        &self,
        call: &C,
        patience: Duration,
    ) -> Result<C::Reply, String>
    where
        C::Reply: DeserializeOwned,
    {
        self.client().await?.request_within(call, patience).await.map_err(words)
    }

    /// Has the server do something, and reads the reply. Without one, it may have been done.
    pub async fn act<C: Call>(&self, call: &C) -> Result<C::Reply, String>
    where
        C::Reply: DeserializeOwned,
    {
        self.client().await?.request(call).await.map_err(done_perhaps)
    }

    /// Says something that the contract does not answer. What comes back is what a tool's text ends
    /// with: nothing where the server confirmed it, and that it did not where it is of the old
    /// kind.
    pub async fn tell<C: Call>(&self, call: &C) -> Result<&'static str, String> {
        match self.client().await?.tell(call).await {
            Ok(()) => Ok(""),
            Err(RequestError::TimedOut(_)) if !self.is_confirming() => Ok(UNCONFIRMED),
            Err(error) => Err(done_perhaps(error)),
        }
    }

    /// Listens to a stream from now on, whatever becomes of the connection or the session.
    pub async fn listen(&self, stream: &str) -> Result<(), String> {
        self.client().await?.subscribe(stream).await.map_err(words)?;
        self.wishes.lock().await.streams.insert(stream.to_owned());
        Ok(())
    }

    /// Who is here. Their names are remembered.
    pub async fn peers(&self) -> Result<Vec<Peer>, String> {
        let peers = self.ask(&ListPeers {}).await?.peers;
        let mut known = self.names.lock().await;
        known.0.learn(names::of(&peers));
        known.1 = Some(Instant::now());
        Ok(peers)
    }

    /// What a sender is called. One that is not known is looked for among those who are here.
    pub async fn name_of(&self, key: &str) -> String {
        let is_fresh = {
            let names = self.names.lock().await;
            if let Some(name) = names.0.get(key) {
                return name.to_owned();
            }
            names.1.is_some_and(|at| at.elapsed() < NAMES_AGE_MAX)
        };
        if let Some(name) = key.strip_prefix(SENDER).or((key == SYSTEM).then_some(key)) {
            return name.to_owned();
        }
        if !is_fresh && self.is_connected() && self.peers().await.is_ok() {
            let names = self.names.lock().await;
            if let Some(name) = names.0.get(key) {
                return name.to_owned();
            }
        }
        format!("peer-{}", key.get(..8).unwrap_or(key))
    }

    /// What the sender of a message is called. A reminder comes from a member's key, whose member may
    /// be away.
    pub async fn name_from(&self, message: &Message) -> String {
        let key = message.sender_pubkey.as_str();
        let name = self.name_of(key).await;
        let is_reminder = message.subtype.as_deref() == Some(REMINDER);
        if !is_reminder || self.names.lock().await.0.get(key).is_some() {
            return name;
        }
        let known = commands::mesh::names(&self.membership().await).await;
        let mut names = self.names.lock().await;
        names.0.learn_new(known);
        names.0.get(key).map_or(name, str::to_owned)
    }

    /// The name that others see.
    pub async fn own_name(&self) -> String {
        self.settings.name_in(&*self.membership.lock().await)
    }

    /// The membership as it is now.
    pub async fn membership(&self) -> Membership {
        self.membership.lock().await.clone()
    }

    /// Wants something, and says so. What a server refuses is not wanted any more; what cannot be
    /// said now is said after the next attachment. Returns what [`Mesh::tell`] does.
    pub async fn wish<C: Call>(
        &self,
        tell: &C,
        want: impl FnOnce(&mut Wishes),
    ) -> Result<&'static str, String> {
        let mut wishes = self.wishes.lock().await;
        let said = match self.client().await {
            Err(problem) => Err(format!("{problem}; it is said as soon as there is a connection")),
            Ok(client) => match client.tell(tell).await {
                Ok(()) => Ok(""),
                Err(RequestError::Refused(refusal)) => return Err(refused(&refusal)),
                Err(RequestError::TimedOut(_)) if !self.is_confirming() => Ok(UNCONFIRMED),
                Err(error @ RequestError::TimedOut(_)) => Err(format!(
                    "{error}: it may have been taken; it is said again at the next connection"
                )),
                Err(error) => Err(format!("{error}; it is said as soon as there is a connection")),
            },
        };
        want(&mut wishes);
        said
    }
}

/// Why there is no reply. A refusal has its code last.
pub fn words(error: RequestError) -> String {
    match error {
        RequestError::Refused(refusal) => refused(&refusal),
        error => error.to_string(),
    }
}

/// The same where something was to be done: an agent must not take silence for a no.
fn done_perhaps(error: RequestError) -> String {
    match error {
        RequestError::TimedOut(_) | RequestError::Lost => {
            format!("{error}: it may have been done all the same")
        }
        error => words(error),
    }
}

fn refused(refusal: &Refusal) -> String {
    format!("{} ({})", fence::line(&refusal.message), fence::line(&refusal.code))
}
