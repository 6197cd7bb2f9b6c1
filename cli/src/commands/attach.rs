//! How commands attach: a session key that no other process holds, and the home's inbox.

use std::time::Duration;

use serde::de::DeserializeOwned;
use skein_wire::Call;
use skein_wire::hello::Caps;

use super::Context;
use crate::Result;
use crate::client::{Client, Config, Host, Keep, Pushes};
use crate::home::{Lifetime, Membership, Session};

/// How long a command waits for an edge.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A session for the length of a command.
#[derive(Debug)]
pub struct Attached {
    /// The session.
    pub client: Client,
    /// What arrives.
    pub pushes: Pushes,
    /// Keeps the session's key ours.
    _session: Session,
}

/// What this home says of itself to a mesh. Sessions that live long are in the member's groups.
pub fn config(context: &Context, membership: &Membership, session: &Session) -> Result<Config> {
    let mut config = Config::new(
        membership.edges.clone(),
        &membership.mesh_id,
        &membership.member_id,
        membership.member()?,
        session.keys.clone(),
    );
    config.display_name = Some(membership.display_name.clone());
    config.keep = Keep::Disk(context.home.inbox(&membership.mesh_id));
    config.host =
        Host { peer_type: Some("human".into()), channel: Some("skein".into()), ..Host::default() };
    Ok(config)
}

/// Starts a session without waiting for it.
pub fn start(context: &Context, membership: &Membership, lifetime: Lifetime) -> Result<Attached> {
    let session = context.home.session(&membership.mesh_id, lifetime)?;
    let mut config = config(context, membership, &session)?;
    if lifetime == Lifetime::Long {
        config.caps = Caps { inbox: true, ..config.caps };
        config.groups.clone_from(&membership.groups);
    }
    let (client, pushes) = Client::start(config);
    Ok(Attached { client, pushes, _session: session })
}

/// Starts a session for one thing, and waits until it is attached.
pub async fn attach(context: &Context, membership: &Membership) -> Result<Attached> {
    let attached = start(context, membership, Lifetime::Short)?;
    attached.client.ready(PATIENCE).await?;
    learn_edges(context, membership, &attached.client)?;
    Ok(attached)
}

/// Attaches, asks one thing, and says goodbye: most commands are no more than that.
pub async fn ask<C: Call>(context: &Context, call: &C) -> Result<C::Reply>
where
    C::Reply: DeserializeOwned,
{
    let attached = attach(context, &context.membership()?).await?;
    let reply = attached.client.request(call).await;
    attached.client.close().await;
    Ok(reply?)
}

/// Remembers edges that the mesh named, and which one worked, for the next time. What the person
/// chose, perhaps since this client began, stays.
pub fn learn_edges(context: &Context, membership: &Membership, client: &Client) -> Result<()> {
    let edges = client.edges();
    if membership.learns_from(&edges) {
        context.home.change(&membership.mesh_id, |membership| membership.learn(edges))?;
    }
    Ok(())
}
