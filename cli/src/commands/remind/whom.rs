//! Whom a reminder is for.

use skein_crypto::Keypair;
use skein_wire::presence::{ListPeers, Peer};

use super::Args;
use crate::client::Client;
use crate::client::names::{self, Unresolved};
use crate::commands::send;
use crate::home::Membership;
use crate::output::short;
use crate::schedules::Whom;
use crate::{Error, Result};

/// Finds whom the arguments mean, and whether to seal for them.
pub async fn find(
    client: &Client,
    membership: &Membership,
    member: &Keypair,
    args: &Args,
) -> Result<Whom> {
    let whom = match &args.to {
        None => Whom::own(member),
        Some(to) => {
            let peers = client.request(&ListPeers {}).await?.peers;
            let (found, name) = match names::literal(to) {
                Some(found) => (found, None),
                None => (named(client, membership, &peers, to).await?, Some(to.clone())),
            };
            match Whom::find(membership, &peers, found.clone(), name.clone()).await {
                Some(whom) => whom,
                // Whatever key that is: who has it can read what is plain.
                None if args.plain => Whom { to: found, name, member: None },
                None => {
                    return Err(Error::NotFound(format!(
                        "{}… is no member's key, and of no session that is here; name the member, \
                         or add --plain",
                        short(&found)
                    )));
                }
            }
        }
    };
    Ok(if args.plain { whom.plain() } else { whom })
}

/// The key of somebody of this name, here or away.
async fn named(
    client: &Client,
    membership: &Membership,
    peers: &[Peer],
    name: &str,
) -> Result<String> {
    match names::resolve(name, peers, &client.session()) {
        Ok(found) => Ok(found),
        Err(Unresolved::Ambiguous(candidates)) => {
            Err(Error::Ambiguous { what: format!("`{name}`"), candidates })
        }
        Err(Unresolved::Unknown) => send::away(membership, name).await,
    }
}
