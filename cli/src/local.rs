//! A local mesh: PostgreSQL, edges and a worker as children of this process.
//!
//! A [`Local`] owns a folder (see [`folder`]) and what runs on it. [`Local::start`] returns when
//! every edge answers; from then on each child is kept: one that ends is started again.
//! [`Local::stop`] ends the edges first, because they drain, then the worker, then PostgreSQL.
//! Should this process be killed, every child has a shell beside it that ends it (see [`child`]).
//!
//! Every variable of our environment reaches the edges and the worker; what differs from one to
//! another, or is a secret of the folder, is set over it.

pub mod child;
pub mod database;
pub mod folder;
pub mod keeper;
pub mod place;
pub mod programs;
pub mod progress;
pub mod signals;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use skein_openapi::health::Health;
use tokio::time::sleep;
use zeroize::Zeroizing;

use self::child::Program;
use self::database::Keeper as DatabaseKeeper;
use self::folder::Folder;
use self::keeper::Keeper;
use self::place::Place;
use self::programs::Programs;
use self::progress::Progress;
use crate::home::SecretText;
use crate::rest::{Rest, Signer};
use crate::{Error, Result};

/// How long an edge may take until it answers: the first one brings the database to its schema.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks at an edge that does not answer yet.
const LOOK: Duration = Duration::from_millis(25);

/// How long an edge may drain: 10 s for its sockets, and the database is told twice.
const DRAIN_WITHIN: Duration = Duration::from_secs(15);

/// How long a worker may take to hand over its duties.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(8);

/// The lines of its log that an edge's failure is told with.
const LOG_LINES_SHOWN: usize = 5;

/// What a local mesh is to be.
#[derive(Debug)]
pub struct Options {
    /// The folder that keeps everything.
    pub data: PathBuf,
    /// How many edges.
    pub edges: u16,
    /// The first edge's port, the others follow; 0: free ones.
    pub port: u16,
    /// A database of somebody else, instead of a private one.
    pub database_url: Option<SecretText>,
}

/// A local mesh, running or on its way.
#[derive(Debug)]
pub struct Local {
    folder: Folder,
    places: Vec<Place>,
    programs: Programs,
    progress: Progress,
    operator_token: SecretText,
    given: Option<SecretText>,
    database: Option<DatabaseKeeper>,
    edges: Vec<Keeper>,
    worker: Option<Keeper>,
}

impl Local {
    /// Takes the folder, and finds everything that can be found before anything is started.
    pub async fn open(options: Options, progress: Progress) -> Result<Self> {
        let programs = Programs::find()?;
        let folder = Folder::open(&options.data)?;
        let operator_token = folder::from_environment(&["SKEIN_OPERATOR_TOKEN"])
            .map_or_else(|| folder.secret("operator-token"), Ok)?;
        let places = place::choose(options.port, options.edges, &progress).await?;
        Ok(Self {
            folder,
            places,
            programs,
            progress,
            operator_token,
            given: options.database_url,
            database: None,
            edges: Vec::new(),
            worker: None,
        })
    }

    /// Starts everything, and returns when every edge answers. What was started before an error is
    /// ended by [`Local::stop`].
    pub async fn start(&mut self) -> Result<()> {
        let progress = self.progress.clone();
        let database = DatabaseKeeper::start(self.given.as_ref(), &self.folder, progress).await?;
        let url = database.url().clone();
        self.database = Some(database);
        self.progress.step("starting the edges");
        for index in 0..self.places.len() {
            let edge = self.edge(index, &url)?;
            self.edges.push(Keeper::start(edge, self.progress.clone()));
        }
        for (edge, place) in self.edges.iter().zip(&self.places) {
            self.healthy(edge, place).await?;
        }
        let worker = Program {
            name: "the worker".into(),
            path: self.programs.worker.clone(),
            environment: self.shared(&url)?,
            log: self.folder.log("worker")?,
            patience: HAND_OVER_WITHIN,
        };
        self.worker = Some(Keeper::start(worker, self.progress.clone()));
        self.progress.done();
        Ok(())
    }

    /// Ends what runs, in the order in which nothing is lost.
    pub async fn stop(&mut self) {
        if !self.edges.is_empty() {
            self.progress.step("stopping the edges");
        }
        self.edges.iter().for_each(Keeper::stop);
        for edge in self.edges.drain(..) {
            edge.ended().await;
        }
        if let Some(worker) = self.worker.take() {
            self.progress.step("stopping the worker");
            worker.stop();
            worker.ended().await;
        }
        if let Some(database) = self.database.take() {
            database.stop().await;
        }
        self.progress.done();
    }

    /// Where the edges are.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The socket URLs of the edges.
    pub fn sockets(&self) -> Vec<String> {
        self.places.iter().map(Place::socket).collect()
    }

    /// The HTTP addresses of the edges.
    pub fn http(&self) -> Vec<String> {
        self.places.iter().map(Place::http).collect()
    }

    /// Where PostgreSQL is, with the password; empty before the start.
    pub fn database_url(&self) -> &str {
        self.database.as_ref().map_or("", |database| database.url().as_str())
    }

    /// Who may create meshes here.
    pub fn operator_token(&self) -> &SecretText {
        &self.operator_token
    }

    /// The folder that keeps everything.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What edges and workers are both told.
    fn shared(&self, url: &SecretText) -> Result<Vec<(&'static str, SecretText)>> {
        let key = folder::from_environment(&["SKEIN_DEPLOYMENT_KEY", "BROKER_ENCRYPTION_KEY"]);
        let key = key.map_or_else(|| self.folder.secret("deployment-key"), Ok)?;
        let mut environment = vec![
            ("DATABASE_URL", url.clone()),
            ("SKEIN_DEPLOYMENT_KEY", key),
            // Their log is a file.
            ("NO_COLOR", text("1")),
        ];
        if folder::from_environment(&["SKEIN_FETCH_ALLOW"]).is_none() {
            // What a watch can see of these edges, everybody sees who is in the mesh.
            let allow = self.http().join(",").replace("http://", "");
            environment.push(("SKEIN_FETCH_ALLOW", text(allow)));
        }
        Ok(environment)
    }

    fn edge(&self, index: usize, url: &SecretText) -> Result<Program> {
        let place = &self.places[index];
        let mut environment = self.shared(url)?;
        environment.extend([
            ("SKEIN_OPERATOR_TOKEN", self.operator_token.clone()),
            ("SKEIN_LISTEN", text(place.listen().to_string())),
            ("SKEIN_TEST_TARGETS", text("1")),
        ]);
        if folder::from_environment(&["SKEIN_PUBLIC_URL"]).is_none() {
            environment.push(("SKEIN_PUBLIC_URL", text(place.socket())));
        }
        let number = index + 1;
        Ok(Program {
            name: format!("edge {number}"),
            path: self.programs.edge.clone(),
            environment,
            log: self.folder.log(&format!("edge-{number}"))?,
            patience: DRAIN_WITHIN,
        })
    }

    /// Waits until this edge answers; one that ends before that has said why in its log.
    async fn healthy(&self, edge: &Keeper, place: &Place) -> Result<()> {
        let rest = Rest::new(vec![place.http()], Signer::Nobody)?;
        let until = Instant::now() + READY_WITHIN;
        while rest.get::<Health>("/health").await.is_err() {
            let problem = match edge.deaths() {
                0 if Instant::now() < until => {
                    sleep(LOOK).await;
                    continue;
                }
                0 => format!("did not answer within {} s", READY_WITHIN.as_secs()),
                _ => "did not start".into(),
            };
            let said = folder::end_of(edge.log(), LOG_LINES_SHOWN).unwrap_or_default();
            let log = edge.log().display();
            return Err(Error::Local(format!("{} {problem}; {log} ends:\n{said}", edge.name())));
        }
        Ok(())
    }
}

/// A value that is not printed.
fn text(value: impl Into<String>) -> SecretText {
    Zeroizing::new(value.into()).into()
}
