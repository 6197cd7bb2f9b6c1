//! What can go wrong in a command, what to do about it, and with which code the program then ends.
//!
//! Every error has three parts: words for people, a code for programs (stable; [`CODES`] lists those
//! that are made here, the others are the server's own), and what to do next. The exit code tells
//! the kind: 1 failed, 2 wrong usage, 3 not found or ambiguous, 4 not connected, 5 refused.

use std::path::PathBuf;

use skein_wire::{Code, Refusal};

use crate::client::{Closed, SendError};

/// The result of most things here.
pub type Result<T> = std::result::Result<T, Error>;

/// The codes that are made here, with their exit codes and what they mean. A refusal has the code of
/// the server that refused, and exit code 5.
pub const CODES: [(&str, u8, &str); 16] = [
    ("usage", 2, "the arguments make no sense together"),
    ("file", 1, "a file of the home cannot be read or written"),
    ("damaged", 1, "a file of the home is not what was written there"),
    ("no_mesh", 3, "no mesh is joined in this home"),
    ("which_mesh", 3, "several meshes are joined, and none was named"),
    ("not_found", 3, "nothing of that name or id"),
    ("not_here", 3, "a member that is not attached now"),
    ("ambiguous", 3, "several of that name"),
    ("not_connected", 4, "no edge could be reached in time"),
    ("bad_link", 1, "a link or key is not what it claims to be"),
    ("unexpected", 1, "the other side answered something else than the contract says"),
    ("unsupported", 1, "the server does not know what was asked of it; nothing was sent"),
    ("io", 1, "the operating system failed"),
    ("local", 1, "something of a local mesh did not start or work"),
    ("database", 1, "the private PostgreSQL of a local mesh failed"),
    ("unwell", 1, "a check of `doctor`, `audit verify` or `watch test` failed"),
];

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

    /// Nothing of that id.
    #[error("{what}")]
    NoSuch {
        /// What there is not.
        what: String,
        /// Where to look.
        fix: String,
    },

    /// A member, known and not attached.
    #[error("{0}")]
    NotHere(String),

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
    #[error("refused: {message}")]
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

    /// The server does not know what was to be asked of it, and was not asked.
    #[error("{what}")]
    Unsupported {
        /// What it does not know.
        what: String,
        /// What it does know.
        fix: String,
    },

    /// The operating system failed us.
    #[error("{0}")]
    Io(#[from] std::io::Error),

    /// Something of a local mesh did not start, or not do what it must.
    #[error("{0}")]
    Local(String),

    /// The private PostgreSQL of a local mesh failed.
    #[error(transparent)]
    Database(#[from] skein_embedded::Error),

    /// A check of `doctor`, `audit verify` or `watch test` failed.
    #[error("{what}")]
    Unwell {
        /// Which hop is broken, and how.
        what: String,
        /// What mends it.
        fix: String,
    },
}

impl Error {
    /// The code, for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::Usage(_) => "usage",
            Self::File { .. } => "file",
            Self::Damaged { .. } => "damaged",
            Self::NoMesh => "no_mesh",
            Self::WhichMesh(_) => "which_mesh",
            Self::NotFound(_) | Self::NoSuch { .. } => "not_found",
            Self::NotHere(_) => "not_here",
            Self::Ambiguous { .. } => "ambiguous",
            Self::NotConnected(_) => "not_connected",
            Self::Refused { code, .. } => code,
            Self::Crypto(_) => "bad_link",
            Self::Unexpected(_) => "unexpected",
            Self::Unsupported { .. } => "unsupported",
            Self::Io(_) => "io",
            Self::Local(_) => "local",
            Self::Database(_) => "database",
            Self::Unwell { .. } => "unwell",
        }
    }

    /// The exit code: 1 failed, 2 usage, 3 not found or ambiguous, 4 not connected, 5 refused.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Refused { .. }) {
            return 5;
        }
        let known = CODES.iter().find(|(code, ..)| *code == self.code());
        known.map_or(1, |(_, exit, _)| *exit)
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Usage(_) => "`skein help COMMAND` explains each command",
            Self::NoMesh => "join one with `skein join LINK`, or start one with `skein up`",
            Self::WhichMesh(_) => {
                "name one with --mesh, or make one the default: `skein config set mesh NAME`"
            }
            Self::NotFound(_) => {
                "`skein peers`, `skein member list` and `skein mesh list` show what there is"
            }
            Self::NotHere(_) => "a message sent now is kept and given when it comes back",
            Self::Ambiguous { .. } => "use the whole key or id instead",
            Self::NotConnected(_) => "`skein doctor` finds the hop that is broken",
            Self::Damaged { .. } => "put a copy back, or move it away and join again",
            Self::Crypto(_) => "copy the link again, whole, with what stands after the #",
            Self::File { .. } => "SKEIN_HOME names another home; it must be yours to write",
            Self::Refused { hint: Some(hint), .. } => hint,
            Self::Refused { code, .. } => advice(code)?,
            Self::Unexpected(_) => "is that an edge of Skein, and as new as this program?",
            Self::NoSuch { fix, .. } | Self::Unwell { fix, .. } | Self::Unsupported { fix, .. } => {
                fix
            }
            // They say it themselves.
            Self::Io(_) | Self::Local(_) | Self::Database(_) => return None,
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

/// What to do about a server's code that came without advice.
fn advice(code: &str) -> Option<&'static str> {
    let known = Code::ALL.iter().find(|known| known.as_str() == code)?;
    Some(match known {
        Code::Unauthorized => {
            "this member was removed, or the mesh is gone; ask for a new invite and join again"
        }
        Code::TimestampSkew => "set this machine's clock",
        Code::Capacity => "the mesh is full; try again when somebody has left",
        Code::Forbidden => "ask the owner of the mesh, or an admin",
        Code::UnknownTarget => "`skein peers` lists who is here",
        Code::NoClock => "`skein clock set SPEED` starts one",
        Code::ScheduleNotFound => "`skein schedule list` lists yours",
        Code::ScheduleLimit => "`skein schedule cancel ID` ends one of yours",
        Code::WatchNotFound => "`skein watch list` lists yours",
        Code::WatchLimit => "`skein watch rm ID` ends one of yours",
        Code::MailboxFull | Code::MeshFull => "wait until some of it was read",
        Code::TooLarge => "send less at once",
        Code::Replayed | Code::Superseded | Code::Unavailable | Code::RateLimited => {
            "wait a moment, and try again"
        }
        Code::Internal => "the edge's log has the reason",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once_in_the_table_and_has_its_exit_code() {
        for (at, (code, exit, _)) in CODES.iter().enumerate() {
            assert!(CODES[at + 1..].iter().all(|(other, ..)| other != code), "{code} twice");
            assert!((1..=4).contains(exit), "{code}");
        }
        let text = String::new;
        let ours = [
            Error::Usage(text()),
            Error::NoMesh,
            Error::WhichMesh(Vec::new()),
            Error::NotFound(text()),
            Error::NotHere(text()),
            Error::Ambiguous { what: text(), candidates: Vec::new() },
            Error::NotConnected(text()),
            Error::Unexpected(text()),
            Error::Local(text()),
            Error::NoSuch { what: text(), fix: text() },
            Error::Unsupported { what: text(), fix: text() },
            Error::Unwell { what: text(), fix: text() },
        ];
        for error in ours {
            assert!(CODES.iter().any(|(code, ..)| *code == error.code()), "{error:?}");
        }
        assert_eq!(Error::NotHere(text()).exit_code(), 3);
        let refused = Refusal::new(Code::Unauthorized);
        assert_eq!(Error::from(refused).exit_code(), 5);
    }

    #[test]
    fn a_refusal_is_given_the_advice_that_its_server_left_out() {
        let of = |code: &str, hint: Option<&str>| {
            let hint = hint.map(str::to_owned);
            Error::Refused { code: code.into(), message: "no".into(), hint }.hint()
        };
        assert!(of("unauthorized", None).unwrap().contains("new invite"));
        assert_eq!(of("unauthorized", Some("theirs")).unwrap(), "theirs");
        assert_eq!(of("a_code_of_tomorrow", None), None);
        assert_eq!(of("url_refused", None), None, "its words say what to do, which differs");
    }
}
