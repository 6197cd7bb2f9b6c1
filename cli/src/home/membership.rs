//! A membership: everything that makes this home a member of one mesh.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use skein_crypto::keys::RootKey;
use skein_crypto::{Keypair, Public, Secret};
use skein_wire::Status;
use skein_wire::groups::Group;
use zeroize::Zeroizing;

use crate::files;
use crate::{Error, Result};

/// The present shape of the file.
pub const VERSION: u32 = 1;

/// A secret in hex on its owner's disk. Zeroed on drop; does not print.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Zeroizing<String>> for SecretText {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// What a home knows of one mesh, and what this member wants to be in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    /// [`VERSION`] when it was written.
    pub version: u32,
    /// The mesh.
    pub mesh_id: String,
    /// Its short name.
    pub slug: String,
    /// Our id in it.
    pub member_id: String,
    /// The member key.
    pub member_secret: SecretText,
    /// Who owns the mesh.
    pub owner_pubkey: Public,
    /// The owner key, in the home of the owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_secret: Option<SecretText>,
    /// The mesh root key; invites of the reference do not carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_key: Option<SecretText>,
    /// Socket URLs of edges, the best first.
    pub edges: Vec<String>,
    /// Whether the person chose these edges: then programs leave them as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edges_chosen: bool,
    /// The name that others see.
    pub display_name: String,
    /// The groups that every long-lived session of ours joins.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// What long-lived sessions say they are doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What long-lived sessions say they work on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Since when, ISO 8601.
    pub joined_at: String,
}

impl Membership {
    /// Reads a membership, and checks its keys.
    pub fn read(path: &Path) -> Result<Self> {
        let membership = Self::read_unchecked(path)?;
        membership
            .member()
            .map_err(|error| Error::Damaged { path: path.to_owned(), detail: error.to_string() })?;
        Ok(membership)
    }

    /// Reads a membership whose keys may be damaged.
    pub fn read_unchecked(path: &Path) -> Result<Self> {
        let text = Zeroizing::new(fs::read_to_string(path).map_err(Error::at(path))?);
        let damaged = |detail: String| Error::Damaged { path: path.to_owned(), detail };
        let membership: Self =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if membership.version > VERSION {
            return Err(damaged("a newer skein wrote it".into()));
        }
        Ok(membership)
    }

    /// Writes it for its owner's eyes.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("a membership has string keys only");
        files::write(path, Zeroizing::new(text + "\n").as_bytes()).map_err(Error::at(path))
    }

    /// Whether a client that knows these edges now has anything to teach.
    pub fn learns_from(&self, edges: &[String]) -> bool {
        let is_known = |edge: &String| self.edges.contains(edge);
        let is_the_same = edges.iter().all(is_known) && edges.first() == self.edges.first();
        !(self.edges_chosen || is_the_same)
    }

    /// Takes over what a client learned, unless the person chose.
    pub fn learn(&mut self, edges: Vec<String>) {
        if self.learns_from(&edges) {
            self.edges = edges;
        }
    }

    /// Whether both are the same member, with the same keys.
    pub fn is_same_member(&self, other: &Self) -> bool {
        self.member_id == other.member_id
            && self.member_secret.as_str() == other.member_secret.as_str()
    }

    /// The member's keys.
    pub fn member(&self) -> Result<Keypair> {
        Ok(Secret::parse(self.member_secret.as_str())?.into())
    }

    /// The owner's key, if this is the owner's home.
    pub fn owner(&self) -> Result<Option<Secret>> {
        let secret = self.owner_secret.as_ref();
        Ok(secret.map(|secret| Secret::parse(secret.as_str())).transpose()?)
    }

    /// What signs invites and requests: the owner key where it is, else the member key.
    pub fn signer(&self) -> Result<Secret> {
        Ok(match self.owner()? {
            Some(owner) => owner,
            None => self.member()?.secret,
        })
    }

    /// The mesh root key.
    pub fn root_key(&self) -> Result<Option<RootKey>> {
        let key = self.root_key.as_ref();
        Ok(key.map(|key| RootKey::parse(key.as_str())).transpose()?)
    }
}
