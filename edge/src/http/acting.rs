//! Requests that do what a peer does over its socket: they are served by the same handlers.
//!
//! Whoever asks acts as a session that nothing attaches: it has its member's name and its key, no
//! mailbox, and the caps of ours, so that every outcome is told.

use std::sync::Arc;

use openapi::api_keys::Capability;
use serde::de::DeserializeOwned;
use skein_openapi as openapi;
use skein_sql::meshes::Mesh;
use skein_wire::{Code, Message, Refusal, Status, hello::Caps};

use super::{Caller, Fault, db};
use crate::{
    Edge,
    handlers::{self, Context},
    node::Node,
    session::{Identity, Live, Outbox, Session},
};

/// A caller in a mesh.
pub struct Acting {
    node: Arc<Node>,
    session: Arc<Session>,
}

impl Acting {
    /// Lets a caller into a mesh, who is a member of it, or an API key of it with this capability.
    ///
    /// # Errors
    /// As [`Caller::act`].
    pub async fn begin(
        edge: &Edge,
        caller: &Caller,
        mesh_id: &str,
        capability: Capability,
    ) -> Result<Self, Fault> {
        let db = db(edge).await?;
        let (mesh, member) = caller.act(&db, mesh_id, capability).await?;
        let session = Arc::new(session(mesh, member));
        Ok(Self { node: edge.node(), session })
    }

    /// Serves a message of the caller, and reads the reply.
    ///
    /// # Errors
    /// What the handler refuses with.
    pub async fn ask<T: DeserializeOwned>(&self, message: Message) -> Result<T, Fault> {
        let reply = self.serve(message).await?.ok_or_else(|| Fault::new(Code::Internal))?;
        serde_json::from_str(&reply).map_err(|_| Fault::new(Code::Internal))
    }

    /// Serves a message of the caller whose success says nothing more.
    ///
    /// # Errors
    /// What the handler refuses with.
    pub async fn tell(&self, message: Message) -> Result<(), Fault> {
        self.serve(message).await.map(drop)
    }

    async fn serve(&self, message: Message) -> Result<Option<String>, Fault> {
        let ctx = Context { node: &self.node, session: &self.session, req_id: None };
        let reply = match handlers::route(&ctx, message, None).await {
            Ok(reply) => reply,
            Err(handlers::Error::Refused(code, message)) => return Err(fault(code, message)),
            Err(handlers::Error::Sql(error)) => return Err(error.into()),
        };
        // Some refusals carry more than a code, and come as a frame.
        let refusal =
            reply.as_deref().and_then(|reply| serde_json::from_str::<Refusal>(reply).ok());
        match refusal {
            Some(refusal) => {
                let code = Code::ALL.iter().find(|code| code.as_str() == refusal.code);
                Err(fault(*code.unwrap_or(&Code::Internal), refusal.message))
            }
            None => Ok(reply),
        }
    }
}

/// The refusal of a handler, in REST's words.
fn fault(code: Code, message: String) -> Fault {
    match code {
        Code::InvalidMessage => Fault::with(Code::InvalidRequest, message),
        code => Fault::with(code, message),
    }
}

/// Who a caller acts as.
#[derive(Debug)]
pub struct Who {
    /// The member's mailbox.
    pub member: i64,
    /// Its key, or the API key's.
    pub key: String,
    /// Its name.
    pub name: String,
}

fn session(mesh: Mesh, who: Who) -> Session {
    let (out, _) = Outbox::new();
    let identity = Identity {
        mailbox: 0,
        attach_no: 0,
        mesh: mesh.no,
        mesh_id: mesh.id.into(),
        member: who.member,
        key: who.key,
        presence_id: String::new(),
        name: who.name,
        caps: Caps { ack: true, replies: true, inbox: false },
    };
    let live = Live { status: Status::Idle, groups: Vec::new(), visible: false, status_changes: 0 };
    Session::new(identity, live, 0, out)
}
