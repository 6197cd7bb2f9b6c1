//! Lookups of names, each of whose answers is vetted.
//!
//! A lookup takes a thread for as long as the system's resolver likes, and whoever holds a domain
//! decides how long that is. So only so many are made at once, and of those one member, and one
//! domain, holds only a few: the others' names are found meanwhile. A place is held until the
//! resolver has answered, not until somebody stops waiting for it. Who gets no place in time is
//! [`FetchError::Busy`]: no name is at fault for what others do.

use std::net::IpAddr;
use std::sync::Arc;

use skein_wire::limit::{
    FETCH_CONNECT, FETCH_LOOKUPS_AT_ONCE_MAX, FETCH_LOOKUPS_PER_DOMAIN_MAX,
    FETCH_LOOKUPS_PER_MEMBER_MAX, FETCH_PATIENCE,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::{FetchError, detail};
use crate::resolver::Resolve;
use crate::shares::Shares;

/// All lookups.
pub(crate) struct Lookups {
    resolver: Arc<dyn Resolve>,
    at_once: Arc<Semaphore>,
    of_member: Shares<i64>,
    of_domain: Shares<Box<str>>,
}

/// Room for one lookup.
#[derive(Debug)]
pub(crate) struct Place {
    _member: Option<OwnedSemaphorePermit>,
    _domain: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Lookups {
    /// Lookups with this resolver.
    pub(crate) fn new(resolver: Arc<dyn Resolve>) -> Self {
        Self {
            resolver,
            at_once: Arc::new(Semaphore::new(FETCH_LOOKUPS_AT_ONCE_MAX)),
            of_member: Shares::new(FETCH_LOOKUPS_PER_MEMBER_MAX),
            of_domain: Shares::new(FETCH_LOOKUPS_PER_DOMAIN_MAX),
        }
    }

    /// Waits for a place, of this member and for this name.
    pub(crate) async fn place(&self, member: Option<i64>, name: &str) -> Result<Place, FetchError> {
        let place = async {
            let _member = self.of_member.part_if(member).await;
            let _domain = self.of_domain.part(domain(name).into()).await;
            let _all = self.at_once.clone().acquire_owned().await.expect("never closed");
            Place { _member, _domain, _all }
        };
        timeout(FETCH_PATIENCE, place).await.map_err(|_| FetchError::Busy)
    }

    /// The addresses of a name, unvetted; each once, and at least one.
    pub(crate) async fn find(&self, place: Place, name: &str) -> Result<Vec<IpAddr>, FetchError> {
        let resolving = self.resolver.resolve(name);
        let lookup = tokio::spawn(async move {
            let _place = place;
            resolving.await
        });
        let unknown = |why: &str| FetchError::Name(detail(why));
        let ended = timeout(FETCH_CONNECT, lookup).await;
        let ended = ended.map_err(|_| unknown("it took too long"))?;
        let found = ended.unwrap_or_else(|fault| Err(std::io::Error::other(fault)));
        let found = found.map_err(|error| unknown(&error.to_string()))?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(unknown("it has no address")) } else { Ok(addresses) }
    }
}

/// What names of one holder have in common, as far as that can be said without a list of who sells
/// names: the last two labels. Where those are sold, their buyers share a few lookups.
fn domain(name: &str) -> &str {
    let name = name.strip_suffix('.').unwrap_or(name);
    let second = name.rmatch_indices('.').nth(1);
    second.map_or(name, |(dot, _)| &name[dot + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_holder_share_their_end() {
        assert_eq!(domain("a.b.slow.example"), "slow.example");
        assert_eq!(domain("slow.example."), "slow.example");
        assert_eq!(domain("slow.example"), "slow.example");
        assert_eq!(domain("localhost"), "localhost");
    }
}
