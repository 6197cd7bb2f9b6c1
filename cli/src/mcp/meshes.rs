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
    /// Why the home cannot be read.
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
            home,
            settings,
            channel,
            running: RwLock::default(),
            problem: RwLock::default(),
        });
        for membership in meshes.memberships().unwrap_or_default() {
            meshes.add(membership);
        }
        meshes
    }

    /// Those that are joined, by short name.
    pub fn all(&self) -> Vec<Arc<Mesh>> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = running.values().map(|one| one.mesh.clone()).collect();
        all.sort_by(|a, b| (&a.slug, &a.id).cmp(&(&b.slug, &b.id)));
        all
    }

    /// Why there is none, for the agent to tell its user.
    pub fn why_none(&self) -> String {
        match &*self.problem.read().unwrap_or_else(PoisonError::into_inner) {
            Some(problem) => format!("the home cannot be read: {problem}"),
            None => "no mesh is joined: ask the user to run `skein join LINK` with an invite \
                     link; this session then connects by itself"
                .into(),
        }
    }

    /// Takes over what other programs do in the home, for ever.
    pub async fn follow(self: Arc<Self>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = stamps(self.home.dir());
        loop {
            look.tick().await;
            let now = stamps(self.home.dir());
            if now == seen {
                continue;
            }
            seen = now;
            if let Some(memberships) = self.memberships() {
                self.take_over(memberships).await;
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

    fn memberships(&self) -> Option<Vec<Membership>> {
        let read = match &self.settings.mesh {
            Some(mesh) => self.home.membership(Some(mesh)).map(|only| vec![only]),
            None => self.home.memberships(),
        };
        let problem = read.as_ref().err().map(ToString::to_string);
        if let Some(problem) = &problem {
            warn!(%problem, "the home cannot be read");
        }
        *self.problem.write().unwrap_or_else(PoisonError::into_inner) = problem;
        read.ok()
    }

    fn add(&self, membership: Membership) {
        let id = membership.mesh_id.clone();
        let mesh = Mesh::new(&self.home, &self.settings, &self.channel, membership);
        let mesh = Arc::new(mesh);
        let task = tokio::spawn(mesh.clone().run());
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        running.insert(id, Running { mesh, task });
    }

    async fn take_over(&self, memberships: Vec<Membership>) {
        let is_kept = |id: &str| memberships.iter().any(|one| one.mesh_id == id);
        let gone: Vec<Running> = {
            let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
            let ids: Vec<_> = running.keys().filter(|id| !is_kept(id)).cloned().collect();
            ids.iter().filter_map(|id| running.remove(id)).collect()
        };
        for one in gone {
            let _ = timeout(GOODBYE, one.mesh.close()).await;
            one.task.abort();
        }
        for membership in memberships {
            let known = self.all().into_iter().find(|mesh| mesh.id == membership.mesh_id);
            match known {
                Some(mesh) => mesh.changed(membership).await,
                None => self.add(membership),
            }
        }
    }
}

/// When each membership was last written.
fn stamps(home: &Path) -> BTreeMap<PathBuf, Option<SystemTime>> {
    let entries = std::fs::read_dir(home.join("meshes")).into_iter().flatten().flatten();
    let stamp = |entry: std::fs::DirEntry| {
        let written = entry.metadata().and_then(|meta| meta.modified()).ok();
        (entry.path(), written)
    };
    entries.map(stamp).filter(|(path, _)| path.extension().is_some_and(|e| e == "json")).collect()
}
