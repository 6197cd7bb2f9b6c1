//! Why a request got no answer.

use skein_wire::limit::{FETCH_BODY_BYTES_MAX, FETCH_HEAD_BYTES_MAX, FETCH_TOTAL};

use crate::refused::Refused;

/// What an error says of a cause: servers choose what some of them hold.
const DETAIL_CHARS_MAX: usize = 200;

/// Why a request got no answer. The text is a fragment for whoever chose the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The guard refuses what is asked for.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The guard refuses what a redirect leads to.
    #[error("it redirects to `{to}`: {refused}")]
    Redirected {
        /// Where the redirect leads, cut where it is long.
        to: String,
        /// Why that is refused.
        refused: Refused,
    },
    /// A redirect leads to what is no URL.
    #[error("it redirects to what is no URL")]
    Location,
    /// This host is asked too often, or too much is fetched at once. Not the host's fault.
    #[error("too much is being fetched, from this host or at once: this has to wait")]
    Busy,
    /// The name has no address.
    #[error("the name cannot be resolved: {0}")]
    Name(String),
    /// No connection was made.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection is not secure.
    #[error("no secure connection: {0}")]
    Tls(String),
    /// It took too long.
    #[error("no whole answer within {} s", FETCH_TOTAL.as_secs())]
    Timeout,
    /// The answer stopped in the middle.
    #[error("the answer stopped in the middle")]
    Stalled,
    /// What came is no HTTP, or ended too soon.
    #[error("the answer cannot be read: {0}")]
    Broken(String),
    /// The head of the answer is too long.
    #[error("the headers of the answer are longer than {} KiB", FETCH_HEAD_BYTES_MAX / 1024)]
    HeadTooLong,
    /// The body is too long.
    #[error("the answer is longer than {} MiB", FETCH_BODY_BYTES_MAX / (1024 * 1024))]
    BodyTooLong,
    /// The body is compressed as it was not asked to be.
    #[error("the answer is compressed with `{0}`, which was not asked for")]
    Encoding(String),
}

impl FetchError {
    /// The word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refused) | Self::Redirected { refused, .. } => refused.code(),
            Self::Location => "location",
            Self::Busy => "busy",
            Self::Name(_) => "name",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Stalled => "stalled",
            Self::Broken(_) => "broken",
            Self::HeadTooLong => "head_too_long",
            Self::BodyTooLong => "body_too_long",
            Self::Encoding(_) => "encoding",
        }
    }

    /// What the guard said, if it is the guard that refused.
    pub fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused(refused) | Self::Redirected { refused, .. } => Some(refused),
            _ => None,
        }
    }
}

/// The same text on one line and not longer than an error should be.
pub(crate) fn detail(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DETAIL_CHARS_MAX).collect()
}
