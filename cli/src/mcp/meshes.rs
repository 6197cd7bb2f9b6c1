//! Every mesh that this home joined, and those that it joins or leaves while we run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::warn;

use super::Settings;
use super::channel::Channel;
use super::fence;
use super::mesh::Mesh;
use crate::home::{Home, Membership};

/// How often the home is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// From the start to the welcome: by then the host listens and the first mesh is there.
const WELCOME_AFTER: Duration = Duration::from_secs(3);

/// The meshes of this process.
#[derive(Debug)]
pub struct Meshes {
    home: Home,
    settings: Settings,
    channel: Arc<Channel>,
    running: RwLock<BTreeMap<String, Running>>,
    seen_first: Stamps,
    /// Why a mesh is not there that should be.
    problem: RwLock<Option<String>>,
}

#[derive(Debug)]
struct Running {
    mesh: Arc<Mesh>,
    task: JoinHandle<()>,
}

impl Meshes {
    /// Starts with every mesh of the home, or with the one that the settings name.
    pub fn start(home: Home, settings: Settings, channel: Arc<Channel>) -> Arc<Self> {
        let meshes = Arc::new(Self {
            // Before the files are read: what changes meanwhile is then seen as a change.
            seen_first: stamps(home.dir()),
            home,
            settings,
            channel,
            running: RwLock::default(),
            problem: RwLock::default(),
        });
        for membership in meshes.memberships().good {
            meshes.add(membership);
        }
        meshes
    }

    /// The way to the host.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Those that are joined, by short name.
    pub fn all(&self) -> Vec<Arc<Mesh>> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = running.values().map(|one| one.mesh.clone()).collect();
        all.sort_by(|a, b| (&a.slug, &a.id).cmp(&(&b.slug, &b.id)));
        all
    }

    /// The one that is meant: of this short name or id; without a name the only one, or the one
    /// that the person made the default.
    pub fn meant(&self, named: Option<&str>) -> Result<Arc<Mesh>, String> {
        let all = self.all();
        let slugs = all.iter().map(|mesh| mesh.slug.as_str()).collect::<Vec<_>>().join(", ");
        let find = |name: &str| {
            let is_it = |mesh: &&Arc<Mesh>| mesh.slug.eq_ignore_ascii_case(name) || mesh.id == name;
            all.iter().find(is_it).cloned()
        };
        if let Some(name) = named {
            let unknown = || format!("mesh {} is not joined; joined: {slugs}", fence::line(name));
            return find(name).ok_or_else(unknown);
        }
        if let [only] = all.as_slice() {
            return Ok(only.clone());
        }
        let chosen = self.home.settings().ok().and_then(|settings| settings.mesh);
        chosen
            .and_then(|name| find(&name))
            .ok_or_else(|| format!("several meshes are joined, say which with mesh_slug: {slugs}"))
    }

    /// Why there is none, for the agent to tell its user.
    pub fn why_none(&self) -> String {
        match &*self.problem.read().unwrap_or_else(PoisonError::into_inner) {
            Some(problem) => problem.clone(),
            None => "no mesh is joined: ask the user to run `skein join LINK` with an invite \
                     link; this session then connects by itself"
                .into(),
        }
    }

    /// Takes over what other programs do in the home, for ever.
    pub async fn follow(self: Arc<Self>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = self.seen_first.clone();
        loop {
            look.tick().await;
            let now = stamps(self.home.dir());
            if now == seen {
                continue;
            }
            let found = self.memberships();
            // What could not be read is read again at the next look.
            if found.is_whole && found.unread.is_empty() {
                seen = now;
            }
            if found.is_whole {
                self.take_over(found).await;
            }
        }
    }

    /// Welcomes the host, once, when it listens and a mesh is there.
    pub async fn welcome(self: Arc<Self>, started: Instant) {
        let mut opened = self.channel.watch();
        if opened.wait_for(Option::is_some).await.is_err() {
            return;
        }
        tokio::time::sleep_until(started + WELCOME_AFTER).await;
        loop {
            for mesh in self.all() {
                if let Some(line) = mesh.welcome().await {
                    let _ = self.channel.send(&line).await;
                    return;
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Says goodbye everywhere.
    pub async fn close(&self) {
        let closing = self.all().into_iter().map(|mesh| async move { mesh.close().await });
        let _ = timeout(GOODBYE, futures_util::future::join_all(closing)).await;
    }

    /// The memberships that are meant. One file that cannot be read hides no other.
    fn memberships(&self) -> Found {
        let mut found = Found::default();
        let mut problem = None;
        match self.home.membership_files() {
            Ok(files) => {
                for file in files {
                    match Membership::read(&file) {
                        Ok(membership) => found.good.push(membership),
                        // It was left this very moment.
                        Err(_) if !file.exists() => (),
                        Err(error) => {
                            problem = Some(error.to_string());
                            found.unread.push(file);
                        }
                    }
                }
            }
            Err(error) => {
                problem = Some(format!("the home cannot be read: {error}"));
                found.is_whole = false;
            }
        }
        if let Some(name) = &self.settings.mesh {
            found.good.retain(|one| one.mesh_id == *name || one.slug == *name);
            if found.good.len() > 1 {
                problem = Some(format!("several meshes are called {name}; give the id instead"));
                let running = self.all();
                found.good.retain(|one| running.iter().any(|mesh| mesh.id == one.mesh_id));
            } else if found.good.is_empty() && problem.is_none() {
                problem = Some(format!("no mesh `{name}` is joined in this home"));
            }
        }
        self.note(problem);
        found
    }

    fn note(&self, problem: Option<String>) {
        let mut noted = self.problem.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(problem) = problem.as_ref().filter(|_| *noted != problem) {
            warn!("{problem}");
        }
        *noted = problem;
    }

    fn add(&self, membership: Membership) {
        let id = membership.mesh_id.clone();
        let mesh = Mesh::new(&self.home, &self.settings, &self.channel, membership);
        let mesh = Arc::new(mesh);
        let task = tokio::spawn(mesh.clone().run());
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        running.insert(id, Running { mesh, task });
    }

    async fn take_over(&self, found: Found) {
        let mut kept = Vec::new();
        for mesh in self.all() {
            let before = mesh.membership().await;
            // Who left and joined again is another member, who must not answer as the old one.
            let is_same = |one: &Membership| one.mesh_id == mesh.id && one.is_same_member(&before);
            let is_unread = found.unread.contains(&self.home.membership_file(&mesh.id));
            if is_unread || found.good.iter().any(is_same) {
                kept.push(mesh.id.clone());
            }
        }
        let gone: Vec<Running> = {
            let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
            let ids: Vec<_> = running.keys().filter(|id| !kept.contains(id)).cloned().collect();
            ids.iter().filter_map(|id| running.remove(id)).collect()
        };
        for one in gone {
            let _ = timeout(GOODBYE, one.mesh.close()).await;
            one.task.abort();
        }
        for membership in found.good {
            let known = self.all().into_iter().find(|mesh| mesh.id == membership.mesh_id);
            match known {
                Some(mesh) => mesh.changed(membership).await,
                None => self.add(membership),
            }
        }
    }
}

/// When each membership was last written.
type Stamps = BTreeMap<PathBuf, Option<SystemTime>>;

/// What there is in a home.
#[derive(Debug)]
struct Found {
    good: Vec<Membership>,
    /// Files that could not be read: nobody knows whether these meshes are still meant.
    unread: Vec<PathBuf>,
    /// Whether the folder could be listed.
    is_whole: bool,
}

impl Default for Found {
    fn default() -> Self {
        Self { good: Vec::new(), unread: Vec::new(), is_whole: true }
    }
}

fn stamps(home: &Path) -> Stamps {
    let entries = std::fs::read_dir(home.join("meshes")).into_iter().flatten().flatten();
    let stamp = |entry: std::fs::DirEntry| {
        let written = entry.metadata().and_then(|meta| meta.modified()).ok();
        (entry.path(), written)
    };
    entries.map(stamp).filter(|(path, _)| path.extension().is_some_and(|e| e == "json")).collect()
}
