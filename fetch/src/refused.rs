//! Why a URL is not fetched.

use std::net::Ipv4Addr;

use skein_wire::limit::{
    FETCH_HEADER_BYTES_MAX, FETCH_HEADERS_MAX, FETCH_REDIRECTS_MAX, FETCH_URL_BYTES_MAX,
};

use crate::address::Kind;
use crate::allow::VARIABLE;

/// Why a URL, or what would be sent to it, is refused. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is too long.
    #[error("the URL is longer than {FETCH_URL_BYTES_MAX} bytes")]
    TooLong,
    /// It cannot be read.
    #[error("this is no URL that can be fetched: {0}")]
    Invalid(String),
    /// It is not of the web.
    #[error("only http and https are fetched, not `{0}`")]
    Scheme(String),
    /// It has a name or a password.
    #[error("a URL must hold no name or password: give an `Authorization` header instead")]
    Credentials,
    /// Its address is spelled so that people take it for something else.
    #[error("write the address as {0}")]
    Spelling(Ipv4Addr),
    /// It names a port that is not one of the web.
    #[error("port {0} is not fetched, only 80 and 443: the operator can allow more in {VARIABLE}")]
    Port(u16),
    /// Its host is not on the public internet.
    #[error("`{host}` is {kind}, which is not fetched: the operator can allow it in {VARIABLE}")]
    Address {
        /// The host as the URL names it.
        host: String,
        /// What its address is.
        kind: Kind,
    },
    /// A redirect gives up encryption.
    #[error("it redirects from https to http, which is not followed")]
    Downgrade,
    /// It is redirected on and on.
    #[error("it redirects more than {FETCH_REDIRECTS_MAX} times")]
    Redirects,
    /// There are too many headers.
    #[error("more than {FETCH_HEADERS_MAX} headers")]
    Headers,
    /// A header's name is none, or one of HTTP's own.
    #[error("the header `{0}` cannot be set")]
    HeaderName(String),
    /// A header's value is too long, or holds what no header may.
    #[error(
        "the value of the header `{0}` must be printable ASCII of at most {FETCH_HEADER_BYTES_MAX} \
         bytes"
    )]
    HeaderValue(String),
}

impl Refused {
    /// The word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "url_too_long",
            Self::Invalid(_) => "url_invalid",
            Self::Scheme(_) => "scheme",
            Self::Credentials => "credentials",
            Self::Spelling(_) => "spelling",
            Self::Port(_) => "port",
            Self::Address { kind, .. } => kind.code(),
            Self::Downgrade => "downgrade",
            Self::Redirects => "redirects",
            Self::Headers => "headers",
            Self::HeaderName(_) => "header_name",
            Self::HeaderValue(_) => "header_value",
        }
    }
}
