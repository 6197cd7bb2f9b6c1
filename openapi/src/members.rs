//! Members: who may say hello in a mesh, and what each may do.
//!
//! An `owner` may do everything. An `admin` invites members and revokes them, but makes no admin
//! and touches none. A `member` takes part, and may see the mesh and who is in it.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything; there is no way to take it away.
    Owner,
    /// Invites and revokes members.
    Admin,
    /// Takes part.
    Member,
}

impl Role {
    /// The word on the wire and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }

    /// The role of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Owner, Self::Admin, Self::Member].into_iter().find(|role| role.as_str() == word)
    }
}

/// A role that can be given: `owner` cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Grant {
    /// Invites and revokes members.
    Admin,
    /// Takes part.
    Member,
}

impl From<Grant> for Role {
    fn from(grant: Grant) -> Self {
        match grant {
            Grant::Admin => Self::Admin,
            Grant::Member => Self::Member,
        }
    }
}

impl TryFrom<Role> for Grant {
    type Error = Role;

    fn try_from(role: Role) -> Result<Self, Role> {
        match role {
            Role::Owner => Err(role),
            Role::Admin => Ok(Self::Admin),
            Role::Member => Ok(Self::Member),
        }
    }
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// What `/join` answered.
    pub id: String,
    /// The key that says hello, and by which others write to it.
    pub pubkey: String,
    /// What it is called.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// Sockets of it that are attached now.
    pub peers: i64,
    /// When it joined.
    pub joined_at: String,
    /// When it last said hello.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<String>,
}

/// Members of a mesh in the order in which they joined, at most 500.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct Members {
    /// Without those that were revoked.
    pub members: Vec<Member>,
    /// Where the list goes on: the next request's `after`. Absent at the end.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A member's new role.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(deny_unknown_fields)]
pub struct RoleChange {
    /// The role it is to have.
    pub role: Grant,
}
