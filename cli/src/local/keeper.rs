//! Keeps one program running: when it ends without being asked to, it is started again.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::child::{Child, Program};
use super::folder;
use super::progress::Progress;

/// The pauses before starting again: each is double the one before.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A program that ran this long was well; the pauses begin anew.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// A program that is kept running.
#[derive(Debug)]
pub struct Keeper {
    name: String,
    log: PathBuf,
    stop: watch::Sender<bool>,
    deaths: watch::Receiver<u32>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts the program and keeps it. Must be called within a tokio runtime.
    pub fn start(program: Program, progress: Progress) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (died, deaths) = watch::channel(0);
        let (name, log) = (program.name.clone(), program.log.clone());
        let task = tokio::spawn(keep(program, stopped, died, progress));
        Self { name, log, stop, deaths, task }
    }

    /// What people call the program.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where what it says goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How often it ended, or could not be started.
    pub fn deaths(&self) -> u32 {
        *self.deaths.borrow()
    }

    /// Asks the program to end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the program is gone, after [`Keeper::stop`].
    pub async fn ended(self) {
        // A panic of the task has been printed, and dropped the child, which ends it.
        let _ = self.task.await;
    }
}

async fn keep(
    program: Program,
    mut stop: watch::Receiver<bool>,
    died: watch::Sender<u32>,
    progress: Progress,
) {
    let mut pause = PAUSE_MIN;
    loop {
        let since = Instant::now();
        let how = match program.start().await {
            Err(error) => format!("could not be started ({error})"),
            Ok(mut child) => tokio::select! {
                status = child.ended() => ended(&program, status),
                () = asked(&mut stop) => return end(&program, child, &progress).await,
            },
        };
        died.send_modify(|deaths| *deaths += 1);
        if since.elapsed() > WELL_AFTER {
            pause = PAUSE_MIN;
        }
        let ms = pause.as_millis();
        progress.note(&format!("{} {how}; starting it again in {ms} ms", program.name));
        tokio::select! {
            () = sleep(pause) => (),
            () = asked(&mut stop) => return,
        }
        pause = PAUSE_MAX.min(pause * 2);
    }
}

/// Waits until the program is to end; it is, too, when nobody can say so any more.
pub async fn asked(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn end(program: &Program, mut child: Child, progress: &Progress) {
    if let Err(error) = child.end(program.patience).await {
        progress.note(&format!("{} could not be ended: {error}", program.name));
    }
}

fn ended(program: &Program, status: std::io::Result<ExitStatus>) -> String {
    match status {
        // It ended by itself, and its log says why.
        Ok(status) if status.code().is_some() => {
            let said = folder::end_of(&program.log, 1).unwrap_or_default();
            format!("ended ({status}: {said})")
        }
        Ok(status) => format!("ended ({status})"),
        Err(error) => format!("was lost ({error})"),
    }
}
