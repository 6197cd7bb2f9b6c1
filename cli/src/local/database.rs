//! The database of a local mesh: somebody else's, or a private one that is kept running.

use std::time::Duration;

use skein_embedded::{Database, Options};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

use super::folder::Folder;
use super::keeper::asked;
use super::progress::Progress;
use crate::Result;
use crate::home::SecretText;

/// The database in a private server.
const NAME: &str = "skein";

/// Between two looks at the server.
const LOOK: Duration = Duration::from_millis(500);

/// After a start that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// A database that is there.
#[derive(Debug)]
pub struct Keeper {
    url: SecretText,
    /// What stopping it is called; nothing is stopped of a database that was given.
    stopping: Option<&'static str>,
    progress: Progress,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Takes the given database, or starts a private server with its data in the folder.
    pub async fn start(
        given: Option<&SecretText>,
        folder: &Folder,
        progress: Progress,
    ) -> Result<Self> {
        if given.is_none() {
            progress.step("starting PostgreSQL");
        }
        let listener = progress.clone();
        let options = Options {
            data: Some(folder.postgres()),
            progress: Some(Box::new(move |words| listener.step(words))),
            ..Options::default()
        };
        let given = given.map(|url| url.as_str().to_owned());
        let database = Database::open(given, NAME, options).await?;
        let url = Zeroizing::new(database.url().to_owned()).into();
        let is_private = matches!(database, Database::Private(..));
        let stopping = is_private.then_some("stopping PostgreSQL");
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(keep(database, stopped, progress.clone()));
        Ok(Self { url, stopping, progress, stop, task })
    }

    /// Where to connect.
    pub fn url(&self) -> &SecretText {
        &self.url
    }

    /// Stops the server if it is ours, and waits until it is gone.
    pub async fn stop(self) {
        if let Some(words) = self.stopping {
            self.progress.step(words);
        }
        self.stop.send_replace(true);
        // A panic of the task has been printed, and dropped the server, which ends it.
        let _ = self.task.await;
    }
}

async fn keep(mut database: Database, mut stop: watch::Receiver<bool>, progress: Progress) {
    let mut next = Instant::now();
    loop {
        next += LOOK;
        tokio::select! {
            () = sleep_until(next) => (),
            () = asked(&mut stop) => break,
        }
        let Database::Private(server, _) = &mut database else { continue };
        let before = server.pid();
        match server.resume().await {
            Ok(()) if server.pid() == before => (),
            Ok(()) => progress.note("PostgreSQL had ended; it was started again"),
            Err(error) => {
                progress.note(&format!("PostgreSQL has ended and does not start: {error}"));
                next = Instant::now() + PAUSE;
            }
        }
    }
    if let Err(error) = database.stop().await {
        progress.note(&format!("PostgreSQL could not be stopped: {error}"));
    }
}
