//! Names to addresses, and how a client is told the one that was vetted.
//!
//! The fetcher asks a [`Resolve`] ([`crate::lookups`]), judges every address, takes its turn at one
//! of them and connects to that: a client's own resolver is [`Pinned`], which gives back exactly
//! that address. There is no second lookup in between, so a name that answers differently the next
//! time gains nothing by it.

use std::io;
use std::iter;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;

use reqwest::dns::{Addrs, Name, Resolving as Answering};
use tokio::task;

/// The addresses of a name, once they are there.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name. Whatever it says is vetted.
pub trait Resolve: Send + Sync {
    /// The addresses of `name`.
    fn resolve(&self, name: &str) -> Resolving;
}

/// The system's own resolver. It takes a thread for as long as it likes.
#[derive(Debug)]
pub struct System;

impl Resolve for System {
    fn resolve(&self, name: &str) -> Resolving {
        let name = name.to_owned();
        Box::pin(async move {
            let lookup = task::spawn_blocking(move || {
                Ok((name.as_str(), 0).to_socket_addrs()?.map(|found| found.ip()).collect())
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}

tokio::task_local! {
    /// The vetted address that the request of this task is made to.
    static VETTED: SocketAddr;
}

/// Makes a request whose name, if it has one, leads to this address and nowhere else.
pub(crate) async fn pinned<T>(to: SocketAddr, request: impl Future<Output = T>) -> T {
    VETTED.scope(to, request).await
}

/// A name that was not vetted; only a fault of ours could ask for one.
#[derive(Debug, thiserror::Error)]
#[error("the name was not vetted")]
struct Unvetted;

/// The resolver of the clients: it knows the vetted address of the request, and nothing else.
pub(crate) struct Pinned;

impl reqwest::dns::Resolve for Pinned {
    fn resolve(&self, _: Name) -> Answering {
        // Asked for in the task of the request, before anything is waited for.
        let vetted = VETTED.try_with(|to| *to);
        Box::pin(async move {
            let to = vetted.map_err(|_| Unvetted)?;
            Ok(Box::new(iter::once(to)) as Addrs)
        })
    }
}
