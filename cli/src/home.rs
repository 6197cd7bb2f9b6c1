//! A home: what a person keeps on this machine (`SKEIN_HOME`, else `~/.skein`).
//!
//! ```text
//! config.json              what the person chose for all meshes
//! meshes/<meshId>.json     a membership with its secrets (0600)
//! sessions/<meshId>/       session keys, each locked by the process that uses it, and where agents
//!                          last used theirs
//! inbox/<meshId>/          what arrived
//! inbox/<meshId>/<key>/    what arrived for one agent's session
//! audit/<meshId>.json      how far the audit log was verified
//! names/<meshId>.json      what keys were called when they were last seen
//! joining/<hash>.key       the member key of a join that was not answered yet
//! ```
//!
//! Everything is readable by its owner alone, and written whole or not at all.

mod config;
mod membership;
mod names;
mod session;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use skein_crypto::{Keypair, Public, Secret};

pub use self::config::Settings;
pub use self::membership::{Membership, SecretText, VERSION};
pub use self::names::Names;
pub use self::session::{Lifetime, Session};
use crate::files;
use crate::{Error, Result};

/// The environment variable that names another home.
pub const VARIABLE: &str = "SKEIN_HOME";

/// The inbox of an agent's session.
#[derive(Debug, Clone)]
pub struct AgentInbox {
    /// The session's key.
    pub key: Public,
    /// Its folder.
    pub dir: PathBuf,
    /// Whether the home still has the key: then an agent may come back, or be here, and read it.
    pub may_return: bool,
}

/// A folder with memberships, keys and mail.
#[derive(Debug, Clone)]
pub struct Home {
    dir: PathBuf,
}

impl Home {
    /// The home that the environment names, made if need be.
    pub fn open() -> Result<Self> {
        let named = std::env::var_os(VARIABLE).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let dir = named.or_else(|| std::env::home_dir().map(|dir| dir.join(".skein")));
        let dir = dir.ok_or_else(|| Error::Usage("no home directory; set SKEIN_HOME".into()))?;
        Self::at(&dir)
    }

    /// The home in `dir`, made if need be.
    pub fn at(dir: &Path) -> Result<Self> {
        files::make_dir(dir).map_err(Error::at(dir))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of a mesh's inbox.
    pub fn inbox(&self, mesh_id: &str) -> PathBuf {
        self.dir.join("inbox").join(file_name(mesh_id))
    }

    /// The folder of an agent's inbox: what is for one session is not for the others.
    pub fn agent_inbox(&self, mesh_id: &str, session: &Public) -> PathBuf {
        self.inbox(mesh_id).join(session.hex())
    }

    /// The inboxes of agents' sessions, by key.
    pub fn agent_inboxes(&self, mesh_id: &str) -> Vec<AgentInbox> {
        let known = session::known(&self.sessions(mesh_id));
        let entries = fs::read_dir(self.inbox(mesh_id)).into_iter().flatten().flatten();
        let mut found: Vec<_> = entries
            .filter_map(|entry| {
                let key = Public::parse(entry.file_name().to_str()?).ok()?;
                Some(AgentInbox { key, dir: entry.path(), may_return: known.contains(&key) })
            })
            .collect();
        found.sort_by_key(|one| one.key.hex());
        found
    }

    /// The file of how far the audit log of a mesh was verified.
    pub fn audit_head(&self, mesh_id: &str) -> PathBuf {
        self.dir.join("audit").join(format!("{}.json", file_name(mesh_id)))
    }

    /// The file of a membership; programs that live long watch it.
    pub fn membership_file(&self, mesh_id: &str) -> PathBuf {
        self.dir.join("meshes").join(format!("{}.json", file_name(mesh_id)))
    }

    /// The file of [`Settings`].
    pub fn settings_file(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// What the person chose for all meshes.
    pub fn settings(&self) -> Result<Settings> {
        Settings::read(&self.settings_file())
    }

    /// Changes the settings as they are now on disk, and writes them.
    pub fn change_settings(&self, change: impl FnOnce(&mut Settings)) -> Result<Settings> {
        let _lock = self.lock()?;
        let mut settings = self.settings()?;
        change(&mut settings);
        settings.write(&self.settings_file())?;
        Ok(settings)
    }

    /// The files of all memberships.
    pub fn membership_files(&self) -> Result<Vec<PathBuf>> {
        let dir = self.dir.join("meshes");
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::at(dir)(error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "json") {
                all.push(path);
            }
        }
        Ok(all)
    }

    /// Every membership, by slug.
    pub fn memberships(&self) -> Result<Vec<Membership>> {
        let files = self.membership_files()?;
        let read = files.iter().map(|path| Membership::read(path));
        let mut all = read.collect::<Result<Vec<_>>>()?;
        all.sort_by(|a, b| (&a.slug, &a.mesh_id).cmp(&(&b.slug, &b.mesh_id)));
        Ok(all)
    }

    /// The membership that `mesh` names by slug or id; without a name, the only one, or the one that
    /// the settings name.
    pub fn membership(&self, mesh: Option<&str>) -> Result<Membership> {
        let all = self.memberships()?;
        let is_named = |one: &&Membership, name: &str| one.mesh_id == name || one.slug == name;
        let chosen = if mesh.is_none() && all.len() > 1 { self.settings()?.mesh } else { None };
        // A default that was left since is none.
        let chosen = chosen.filter(|name| all.iter().any(|one| is_named(&one, name)));
        let Some(name) = mesh.or(chosen.as_deref()) else {
            let slugs = || all.iter().map(|membership| membership.slug.clone()).collect();
            return match all.len() {
                0 => Err(Error::NoMesh),
                1 => Ok(all.into_iter().next().expect("there is one")),
                _ => Err(Error::WhichMesh(slugs())),
            };
        };
        let mut found = all.iter().filter(|one| is_named(one, name));
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => Err(Error::NotFound(format!("no mesh `{name}` is joined in this home"))),
            (Some(_), Some(_)) => Err(Error::Ambiguous {
                what: format!("`{name}`"),
                candidates: all
                    .iter()
                    .filter(|one| one.slug == name)
                    .map(|one| one.mesh_id.clone())
                    .collect(),
            }),
        }
    }

    /// Writes a membership.
    pub fn save(&self, membership: &Membership) -> Result<()> {
        let path = self.membership_file(&membership.mesh_id);
        files::make_dir(&self.dir.join("meshes")).map_err(Error::at(&path))?;
        membership.write(&path)
    }

    /// Changes a membership as it is now on disk, and writes it.
    pub fn change(
        &self,
        mesh_id: &str,
        change: impl FnOnce(&mut Membership),
    ) -> Result<Membership> {
        let _lock = self.lock()?;
        let mut membership = Membership::read(&self.membership_file(mesh_id))?;
        change(&mut membership);
        self.save(&membership)?;
        Ok(membership)
    }

    /// Forgets a membership and its session keys. The inbox stays.
    pub fn forget(&self, mesh_id: &str) -> Result<()> {
        let path = self.membership_file(mesh_id);
        fs::remove_file(&path).map_err(Error::at(&path))?;
        let sessions = self.sessions(mesh_id);
        match fs::remove_dir_all(&sessions) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::at(sessions)(error)),
            _ => Ok(()),
        }
    }

    /// A session key of this mesh that no other process uses.
    pub fn session(&self, mesh_id: &str, lifetime: Lifetime) -> Result<Session> {
        Session::lock(&self.sessions(mesh_id), lifetime)
    }

    /// What keys of this mesh were called when they were last seen.
    pub fn names(&self, mesh_id: &str) -> Names {
        Names::open(self.dir.join("names").join(format!("{}.json", file_name(mesh_id))))
    }

    /// The member key to join with under this invite: the same at every attempt, so that an answer
    /// that was lost costs no second use.
    pub fn joining(&self, token_hash: &str) -> Result<Keypair> {
        let path = self.joining_file(token_hash);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Secret::parse(text.trim())?.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let keys = Keypair::generate();
                files::make_dir(&self.dir.join("joining")).map_err(Error::at(&path))?;
                files::write(&path, keys.secret.hex().as_bytes()).map_err(Error::at(&path))?;
                Ok(keys)
            }
            Err(error) => Err(Error::at(path)(error)),
        }
    }

    /// The join was answered.
    pub fn joined(&self, token_hash: &str) {
        // A key that stays behind is used by nobody.
        let _ = fs::remove_file(self.joining_file(token_hash));
    }

    /// Held by whoever changes a file of the home, until it is dropped.
    fn lock(&self) -> Result<File> {
        let lock = files::open(&self.dir.join("lock")).map_err(Error::at(&self.dir))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
            .map_err(std::io::Error::from)?;
        Ok(lock)
    }

    fn joining_file(&self, token_hash: &str) -> PathBuf {
        self.dir.join("joining").join(format!("{}.key", file_name(token_hash)))
    }

    fn sessions(&self, mesh_id: &str) -> PathBuf {
        self.dir.join("sessions").join(file_name(mesh_id))
    }
}

/// A name for a file from what a server or a link said: harmless ids as they are, all else hashed.
fn file_name(id: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !id.is_empty() && id.len() <= 64 && id.bytes().all(is_plain) {
        return id.to_owned();
    }
    hex::encode(Sha256::digest(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_elsewhere_never_leaves_its_folder() {
        assert_eq!(file_name("mesh-1_A"), "mesh-1_A");
        for odd in ["", "..", "../x", "a/b", "a\0b", &"x".repeat(65)] {
            assert_eq!(file_name(odd).len(), 64, "{odd:?}");
        }
    }
}
