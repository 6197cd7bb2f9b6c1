//! What tools ask of a mesh, and say to it.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use skein_wire::Call;
use skein_wire::presence::{ListPeers, Peer};

use super::Mesh;
use crate::client::{Client, RequestError, State};
use crate::home::Membership;
use crate::mcp::wishes::Wishes;

/// How long a tool waits for a connection that is on its way.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a list of names is believed.
const NAMES_AGE_MAX: Duration = Duration::from_secs(30);

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

    /// Who is here. Their names are remembered.
    pub async fn peers(&self) -> Result<Vec<Peer>, String> {
        let client = self.client().await?;
        let peers = client.request(&ListPeers {}).await.map_err(|error| error.to_string())?.peers;
        let mut names = self.names.lock().await;
        names.0.learn(peers.iter().map(|peer| (peer.pubkey.clone(), peer.display_name.clone())));
        names.1 = Some(Instant::now());
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
        if let Some(name) = key.strip_prefix("webhook:") {
            return name.to_owned();
        }
        let is_connected =
            self.seat().is_ok_and(|seat| matches!(seat.client.state(), State::Connected(_)));
        if !is_fresh && is_connected && self.peers().await.is_ok() {
            let names = self.names.lock().await;
            if let Some(name) = names.0.get(key) {
                return name.to_owned();
            }
        }
        format!("peer-{}", key.get(..8).unwrap_or(key))
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
    /// said now is said after the next attachment.
    pub async fn wish<C: Call>(
        &self,
        tell: &C,
        want: impl FnOnce(&mut Wishes),
    ) -> Result<(), String> {
        let mut wishes = self.wishes.lock().await;
        let problem = match self.client().await {
            Err(problem) => Some(problem),
            Ok(client) => match client.tell(tell).await {
                // A server of the old kind answers nothing, and has taken it.
                Ok(()) | Err(RequestError::TimedOut) => None,
                Err(RequestError::Refused(refusal)) => {
                    return Err(format!("{} ({})", refusal.message, refusal.code));
                }
                Err(error) => Some(error.to_string()),
            },
        };
        want(&mut wishes);
        match problem {
            None => Ok(()),
            Some(problem) => Err(format!("{problem}; it is said as soon as there is a connection")),
        }
    }
}
