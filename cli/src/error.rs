//! What can go wrong in a command, what to do about it, and with which code the program then ends.

use std::path::PathBuf;

use skein_wire::Refusal;

use crate::client::{Closed, SendError};

/// The result of most things here.
pub type Result<T> = std::result::Result<T, Error>;

/// A command that did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments make no sense together.
    #[error("{0}")]
    Usage(String),

    /// A file of the home cannot be read or written.
    #[error("{}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// A file of the home is not what we wrote.
    #[error("{} is damaged: {detail}", .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },

    /// No mesh was joined or created here.
    #[error("no mesh is joined in this home")]
    NoMesh,

    /// Several meshes are joined, and none was named.
    #[error("several meshes are joined: {}", .0.join(", "))]
    WhichMesh(Vec<String>),

    /// Nothing of that name.
    #[error("{0}")]
    NotFound(String),

    /// Several of that name.
    #[error("{what} means several: {}", .candidates.join("; "))]
    Ambiguous {
        /// What was asked for.
        what: String,
        /// What it could mean.
        candidates: Vec<String>,
    },

    /// No edge could be reached in time.
    #[error("not connected: {0}")]
    NotConnected(String),

    /// The server said no.
    #[error("refused: {message} ({code})")]
    Refused {
        /// The code, for programs.
        code: String,
        /// The words, for people.
        message: String,
        /// What the server advises.
        hint: Option<String>,
    },

    /// The link, key or reply cannot be what it claims to be.
    #[error(transparent)]
    Crypto(#[from] skein_crypto::Error),

    /// The other side answered something that we do not understand.
    #[error("unexpected answer: {0}")]
    Unexpected(String),

    /// The operating system failed us.
    #[error("{0}")]
    Io(#[from] std::io::Error),

    /// Something of a local mesh did not start, or not do what it must.
    #[error("{0}")]
    Local(String),

    /// The private PostgreSQL of a local mesh failed.
    #[error(transparent)]
    Database(#[from] skein_embedded::Error),

    /// A check of `doctor` failed; it has said so itself.
    #[error("{0} of the checks failed")]
    Unwell(usize),
}

impl Error {
    /// The exit code: 1 failed, 2 usage, 3 not found or ambiguous, 4 not connected, 5 refused.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::NotFound(_) | Self::Ambiguous { .. } | Self::NoMesh | Self::WhichMesh(_) => 3,
            Self::NotConnected(_) => 4,
            Self::Refused { .. } => 5,
            Self::File { .. }
            | Self::Damaged { .. }
            | Self::Crypto(_)
            | Self::Unexpected(_)
            | Self::Io(_)
            | Self::Local(_)
            | Self::Database(_)
            | Self::Unwell(_) => 1,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoMesh => "join one with `skein join LINK`, or start one with `skein up`",
            Self::WhichMesh(_) => "name one with --mesh",
            Self::Ambiguous { .. } => "use the key instead of the name; `skein peers` lists them",
            Self::NotConnected(_) => "`skein doctor` checks every edge that is known",
            Self::Damaged { .. } => "put a copy back, or move it away and join again",
            Self::Crypto(_) => "copy the link again, whole, with what stands after the #",
            Self::File { .. } => "SKEIN_HOME names another home; it must be yours to write",
            Self::Refused { hint, .. } => return hint.clone(),
            Self::Usage(_) | Self::NotFound(_) | Self::Unexpected(_) | Self::Io(_) => return None,
            Self::Local(_) | Self::Database(_) | Self::Unwell(_) => return None,
        };
        Some(hint.to_owned())
    }

    /// An error at a path.
    pub fn at(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { code: refusal.code, message: refusal.message, hint: None }
    }
}

impl From<Closed> for Error {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Rejected(refusal) => refusal.into(),
            Closed::Replaced => {
                Self::NotConnected("another process took this session's key".into())
            }
            Closed::Ours => Self::NotConnected("the connection was closed here".into()),
        }
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Refused(refusal) => refusal.into(),
            SendError::Closed(closed) => closed.into(),
            SendError::Unusable(key) => Self::NotFound(format!("{key} is no key to send to")),
            SendError::QueueFull | SendError::GaveUp | SendError::TooLong => {
                Self::NotConnected(error.to_string())
            }
        }
    }
}
