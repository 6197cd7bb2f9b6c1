//! Who a client is, how it behaves, and the hello that says so.

use std::path::PathBuf;

use skein_crypto::{Keypair, hello as signature, proof};
use skein_wire::groups::Group;
use skein_wire::hello::{Caps, Hello};

/// What becomes of messages that arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// An inbox in this folder; several processes may share it.
    Disk(PathBuf),
    /// Repeats are known for as long as the process lives.
    Memory,
    /// Nothing is known: repeats come through, as in old clients.
    Nothing,
}

/// What a session says of its program at hello.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The host program's id of the session; made of the process id when empty.
    pub session_id: String,
    /// `ai`, `human` or `connector`.
    pub peer_type: Option<String>,
    /// Which program.
    pub channel: Option<String>,
    /// Which model.
    pub model: Option<String>,
}

/// Who a client is, and how it behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Socket URLs, tried in this order. There must be one.
    pub edges: Vec<String>,
    /// The mesh.
    pub mesh_id: String,
    /// The member's id from `/join`.
    pub member_id: String,
    /// The member's keys.
    pub member: Keypair,
    /// The session's keys: no two live clients may share them.
    pub session: Keypair,
    /// The session's name; the member's when absent.
    pub display_name: Option<String>,
    /// Groups to be in from the first moment; empty restores what the server remembers.
    pub groups: Vec<Group>,
    /// What the client says that it understands. Without `ack` nothing is settled by us, and no
    /// session proof is made, as old clients do.
    pub caps: Caps,
    /// What becomes of messages that arrive.
    pub keep: Keep,
    /// The program.
    pub host: Host,
    /// Whether the program answers what other peers ask of it; else they are refused at once.
    pub answers: bool,
}

impl Config {
    /// A client of ours with cap `ack` and `replies`, that keeps messages in memory.
    pub fn new(
        edges: Vec<String>,
        mesh_id: &str,
        member_id: &str,
        member: Keypair,
        session: Keypair,
    ) -> Self {
        Self {
            edges,
            mesh_id: mesh_id.into(),
            member_id: member_id.into(),
            member,
            session,
            display_name: None,
            groups: Vec::new(),
            caps: Caps { ack: true, replies: true, inbox: false },
            keep: Keep::Memory,
            host: Host::default(),
            answers: false,
        }
    }

    /// The hello of this moment.
    pub fn hello(&self, now: i64) -> Hello {
        let signature = signature::sign(&self.member.secret, &self.mesh_id, &self.member_id, now);
        let session = self.session.public;
        let proof =
            self.caps.ack.then(|| proof::sign(&self.member.secret, &self.mesh_id, &session, now));
        let caps = [("ack", self.caps.ack), ("replies", self.caps.replies)]
            .into_iter()
            .chain([("inbox", self.caps.inbox)])
            .filter(|(_, has)| *has)
            .map(|(word, _)| word.to_owned())
            .collect::<Vec<_>>();
        let pid = std::process::id();
        let session_id = &self.host.session_id;
        Hello {
            mesh_id: self.mesh_id.clone(),
            member_id: self.member_id.clone(),
            pubkey: self.member.public.hex(),
            session_pubkey: Some(session.hex()),
            display_name: self.display_name.clone(),
            session_id: if session_id.is_empty() { format!("{pid}") } else { session_id.clone() },
            pid: i64::from(pid),
            cwd: std::env::current_dir()
                .map(|dir| dir.to_string_lossy().into_owned())
                .unwrap_or_default(),
            hostname: rustix::system::uname().nodename().to_str().ok().map(str::to_owned),
            peer_type: self.host.peer_type.clone(),
            channel: self.host.channel.clone(),
            model: self.host.model.clone(),
            groups: (!self.groups.is_empty()).then(|| self.groups.clone()),
            timestamp: now,
            signature: signature.hex(),
            caps: (!caps.is_empty()).then_some(caps),
            session_proof: proof,
            client: self.caps.ack.then(|| concat!("skein/", env!("CARGO_PKG_VERSION")).into()),
        }
    }
}
