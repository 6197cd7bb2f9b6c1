//! Names to addresses, vetted: what is connected to is what was looked at.
//!
//! The fetcher's clients ask the [`Vetting`] of their port, which asks a [`Resolve`], judges every
//! address, and gives exactly those back. There is no second lookup in between, so a name that
//! answers differently the next time gains nothing by it.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name};
use skein_wire::limit::FETCH_LOOKUPS_AT_ONCE_MAX;
use tokio::sync::Semaphore;
use tokio::task;

use crate::guard::Guard;

/// The addresses of a name, once they are there.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name. Whatever it says is vetted.
pub trait Resolve: Send + Sync {
    /// The addresses of `name`.
    fn resolve(&self, name: &str) -> Resolving;
}

/// The system's own resolver. It takes a thread for as long as it likes, so only so many lookups
/// are made at once; the others wait for as long as their connection may take.
#[derive(Debug)]
pub struct System {
    turns: Arc<Semaphore>,
}

impl Default for System {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(FETCH_LOOKUPS_AT_ONCE_MAX)) }
    }
}

impl Resolve for System {
    fn resolve(&self, name: &str) -> Resolving {
        let (turns, name) = (self.turns.clone(), name.to_owned());
        Box::pin(async move {
            let turn = turns.acquire_owned().await.expect("never closed");
            let lookup = task::spawn_blocking(move || {
                // Held until the thread is free, not until somebody stops waiting for it.
                let _turn = turn;
                Ok((name.as_str(), 0).to_socket_addrs()?.map(|found| found.ip()).collect())
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}

/// A name that has no address, or of which nobody could say.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unresolved(String);

/// The resolver of the clients of one port.
pub(crate) struct Vetting {
    pub(crate) guard: Guard,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) port: u16,
}

impl reqwest::dns::Resolve for Vetting {
    fn resolve(&self, name: Name) -> reqwest::dns::Resolving {
        let resolving = self.resolver.resolve(name.as_str());
        let (guard, port) = (self.guard.clone(), self.port);
        Box::pin(async move {
            let addresses = resolving.await.map_err(|error| Unresolved(error.to_string()))?;
            if addresses.is_empty() {
                return Err(Unresolved("it has no address".into()).into());
            }
            for address in &addresses {
                guard.judge(name.as_str(), *address, port)?;
            }
            let vetted = addresses.into_iter().map(move |address| SocketAddr::new(address, port));
            Ok(Box::new(vetted) as Addrs)
        })
    }
}
