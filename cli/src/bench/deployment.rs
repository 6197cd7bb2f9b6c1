//! Whom a bench measures: edges, their database, and the meshes and members that it makes there.
//!
//! Figures of a database that does not wait for the disk would flatter, so there are none of it.

use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use skein_crypto::invite::Role;
use skein_crypto::invite::link::{Payload, Token};
use skein_crypto::{Keypair, random};
use skein_openapi::health::Health;
use skein_openapi::invites::{Invite, NewInvite};
use skein_openapi::join::{Join, Joined};
use skein_openapi::members::Grant;
use skein_openapi::meshes::{MeshCreated, NewMesh};
use skein_wire::hello::Hello;
use tokio::time::{Instant, sleep};

use crate::client::Config;
use crate::rest::{Rest, Signer, http_of, ws_of};
use crate::time;
use crate::{Error, Result};

/// Meshes that are made at once.
const MESHES_AT_ONCE: usize = 4;
/// Members of a mesh that join at once.
const JOINS_AT_ONCE: usize = 8;
/// How long the invites of a bench are good.
const INVITE_LIFE_MS: i64 = 3_600_000;
/// How long an edge that has just started may take to ask its database.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(100);

/// Edges of one deployment, and the right to make meshes there.
#[derive(Debug)]
pub struct Deployment {
    /// Their socket URLs.
    pub edges: Vec<String>,
    operator: Rest,
    /// One for each edge.
    anyone: Vec<Rest>,
}

/// An edge, as it says of itself.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// Its socket URL.
    pub url: String,
    /// The version of the program.
    pub version: String,
    /// The commit it was built from, if it knows.
    pub git_sha: String,
}

/// The database, as the edges see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// The server's version.
    pub version: String,
    /// `on`, or there are no figures.
    pub fsync: String,
    /// What a commit waits for.
    pub synchronous_commit: String,
}

/// A peer to be.
#[derive(Debug, Clone)]
pub struct Member {
    config: Config,
}

impl Member {
    /// Its session's keys: what it seals with, and what others seal to.
    pub fn session(&self) -> &Keypair {
        &self.config.session
    }

    /// Its hello of this moment.
    pub fn hello(&self, now_ms: i64) -> Hello {
        self.config.hello(now_ms)
    }
}

impl Deployment {
    /// The deployment at these edges.
    pub fn new(edges: &[String], operator_token: String) -> Result<Self> {
        let wrong = |edge: &String| Error::Usage(format!("`{edge}` is no http(s) or ws(s) URL"));
        let https: Vec<String> = edges
            .iter()
            .map(|edge| http_of(edge).ok_or_else(|| wrong(edge)))
            .collect::<Result<_>>()?;
        let sockets = edges.iter().map(|edge| ws_of(edge).ok_or_else(|| wrong(edge)));
        let anyone = https.iter().map(|base| Rest::new(vec![base.clone()], Signer::Nobody));
        Ok(Self {
            edges: sockets.collect::<Result<_>>()?,
            anyone: anyone.collect::<Result<_>>()?,
            operator: Rest::new(https, Signer::Operator(operator_token))?,
        })
    }

    /// What the edges are.
    pub async fn describe(&self) -> Result<Vec<Edge>> {
        let mut edges = Vec::new();
        for (url, rest) in self.edges.iter().zip(&self.anyone) {
            let Health { version, git_sha, .. } = rest.get("/health").await?;
            edges.push(Edge { url: url.clone(), version, git_sha });
        }
        Ok(edges)
    }

    /// How the database is set, as every edge sees it; an error unless it keeps what it commits.
    pub async fn database(&self) -> Result<Database> {
        let mut database = None;
        for (url, rest) in self.edges.iter().zip(&self.anyone) {
            let seen = seen(url, rest).await?;
            if seen.fsync != "on" {
                let fsync = &seen.fsync;
                return Err(Error::Local(format!(
                    "the database of {url} runs with fsync {fsync}: it does not keep what it \
                     commits, and figures of it mean nothing"
                )));
            }
            database = Some(seen);
        }
        database.ok_or_else(|| Error::Usage("name an edge with --edge".into()))
    }

    /// Makes meshes of `size` members, the last one smaller, with this many members in all.
    pub async fn members(&self, count: usize, size: usize) -> Result<Vec<Member>> {
        let sizes = (0..count.div_ceil(size)).map(|mesh| size.min(count - mesh * size));
        let meshes = stream::iter(sizes.map(|size| self.mesh(size))).buffered(MESHES_AT_ONCE);
        Ok(meshes.try_collect::<Vec<_>>().await?.concat())
    }

    async fn mesh(&self, size: usize) -> Result<Vec<Member>> {
        let (owner, first) = (Keypair::generate(), Keypair::generate());
        let slug = format!("bench-{}", hex::encode(random::<8>()));
        let new = NewMesh {
            slug: slug.clone(),
            name: "bench".into(),
            owner_pubkey: owner.public.hex(),
            member_pubkey: Some(first.public.hex()),
            display_name: "peer-0".into(),
        };
        let made: MeshCreated = self.operator.post("/v1/meshes", &new).await?;
        let mesh_id = made.mesh.id;
        let mut members = vec![self.member(&mesh_id, &made.member_id, first)];
        if size == 1 {
            return Ok(members);
        }
        let token = Token::generate();
        let uses = u32::try_from(size).expect("a mesh has fewer than four billion members");
        let expires_at = time::now_ms() + INVITE_LIFE_MS;
        let invite = NewInvite {
            token_hash: token.hash(),
            role: Grant::Member,
            uses: uses.cast_signed(),
            expires_at: time::iso(expires_at),
        };
        let path = format!("/v1/meshes/{mesh_id}/invites");
        let _: Invite = self.operator.post(&path, &invite).await?;
        let payload = Payload {
            v: 2,
            mesh_id: mesh_id.clone(),
            slug,
            edges: self.edges.clone(),
            expires_at,
            role: Role::Member,
            uses,
            owner_pubkey: owner.public,
            signer_pubkey: owner.public,
            token_hash: token.hash(),
            signature: String::new(),
        }
        .signed(&owner.secret);
        let payload = serde_json::to_value(&payload).expect("a payload is JSON");
        let joins = (1..size).map(|index| self.join(index, &mesh_id, &token, &payload));
        let joined = stream::iter(joins).buffered(JOINS_AT_ONCE).try_collect::<Vec<_>>().await?;
        members.extend(joined);
        Ok(members)
    }

    async fn join(
        &self,
        index: usize,
        mesh_id: &str,
        token: &Token,
        payload: &serde_json::Value,
    ) -> Result<Member> {
        let member = Keypair::generate();
        let body = Join {
            invite_token: token.hex().to_string(),
            invite_payload: payload.clone(),
            peer_pubkey: member.public.hex(),
            display_name: format!("peer-{index}"),
        };
        let rest = &self.anyone[index % self.anyone.len()];
        let joined: Joined = rest.post("/join", &body).await?;
        Ok(self.member(mesh_id, &joined.member_id, member))
    }

    fn member(&self, mesh_id: &str, member_id: &str, member: Keypair) -> Member {
        let edges = self.edges.clone();
        Member { config: Config::new(edges, mesh_id, member_id, member, Keypair::generate()) }
    }
}

/// How an edge sees its database. It asks when it starts, and does not serve later than that.
async fn seen(url: &str, rest: &Rest) -> Result<Database> {
    let until = Instant::now() + ASKED_WITHIN;
    loop {
        let page = rest.text("/metrics").await?;
        match database(&page) {
            Some(seen) => return Ok(seen),
            None if Instant::now() < until => sleep(LOOK).await,
            None => {
                let words = "does not say whether its database keeps what it commits";
                return Err(Error::Local(format!("{url} {words}")));
            }
        }
    }
}

/// What the line of the database says, in a page of metrics.
fn database(page: &str) -> Option<Database> {
    // An old line of other settings stays on the page at 1; then nothing is certain.
    let mut lines = page.lines().filter_map(|line| line.strip_prefix("skein_database_info{"));
    let line = lines.next().filter(|_| lines.next().is_none())?;
    let label = |name: &str| {
        let at = line.find(&format!("{name}=\""))? + name.len() + 2;
        line[at..].split('"').next().map(str::to_owned)
    };
    Some(Database {
        version: label("version")?,
        fsync: label("fsync")?,
        synchronous_commit: label("synchronous_commit")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_the_database_are_read_from_its_line() {
        let line =
            "skein_database_info{version=\"18.4\",fsync=\"on\",synchronous_commit=\"local\"} 1";
        let page = format!("# TYPE skein_database_info gauge\nx 1\n{line}\ny{{a=\"b\"}} 2\n");

        let seen = database(&page).unwrap();

        assert_eq!((seen.version.as_str(), seen.fsync.as_str()), ("18.4", "on"));
        assert_eq!(seen.synchronous_commit, "local");
        assert_eq!(database("x 1"), None);
        let changed = format!("{page}{}\n", line.replace("on", "off"));
        assert_eq!(database(&changed), None, "the settings changed meanwhile");
    }
}
