//! How our routes refuse: one body, and a status for each kind, so that the document names them
//! all.

use openapi::Error;
use poem::{Response, http::StatusCode};
use poem_openapi::{ApiResponse, payload::Json};
use skein_openapi as openapi;
use skein_wire::{Code, limit};
use tracing::{error, warn};

/// A refusal.
#[derive(Debug, ApiResponse)]
pub enum Fault {
    /// `invalid_request`: a field of the path, the query or the body is missing or wrong.
    #[oai(status = 400)]
    Invalid(Json<Error>),
    /// `unauthorized`: neither the operator token nor a signature. `bad_signature`: a signature
    /// over something else. `timestamp_skew`: signed more than a minute from now. `replayed`: a
    /// signed request that was taken before. None of them tells whether the mesh exists.
    #[oai(status = 401)]
    Unauthorized(Json<Error>),
    /// `forbidden`: the caller is in the mesh, but may not do this.
    #[oai(status = 403)]
    Forbidden(Json<Error>),
    /// `not_found`: there is no such mesh, invite or member, or the signer is in no such mesh.
    #[oai(status = 404)]
    NotFound(Json<Error>),
    /// `method_not_allowed`: the route takes other methods.
    #[oai(status = 405)]
    MethodNotAllowed(Json<Error>),
    /// `conflict`: somebody has that name, or that token, already.
    #[oai(status = 409)]
    Conflict(Json<Error>),
    /// `too_large`: the body is over 65,536 bytes.
    #[oai(status = 413)]
    TooLarge(Json<Error>),
    /// `rate_limited`: the API key asks too fast. `mailbox_full`, `mesh_full`: there is too much
    /// unread mail. `tasks_full`, `state_full`: the mesh has as many as it may.
    #[oai(status = 429)]
    Limited(Json<Error>),
    /// `internal`: we failed, and our log says how.
    #[oai(status = 500)]
    Internal(Json<Error>),
    /// `unavailable`: the database does not answer, or this edge has too many messages on their way.
    #[oai(status = 503)]
    Unavailable(
        Json<Error>,
        /// Seconds to wait before asking again.
        #[oai(header = "Retry-After")]
        u32,
    ),
}

impl Fault {
    /// The refusal of this code in its own words.
    pub fn new(code: Code) -> Self {
        Self::of(code, Error::new(code))
    }

    /// The refusal of this code, worded for the case.
    pub fn with(code: Code, message: impl Into<String>) -> Self {
        Self::of(code, Error::with(code, message))
    }

    /// The refusal of this code, worded for the case, with what to do about it.
    pub fn hinting(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::of(code, Error::with(code, message).hint(hint))
    }

    fn of(code: Code, error: Error) -> Self {
        let error = Json(error);
        match code.status() {
            400 => Self::Invalid(error),
            401 => Self::Unauthorized(error),
            403 => Self::Forbidden(error),
            404 => Self::NotFound(error),
            405 => Self::MethodNotAllowed(error),
            409 => Self::Conflict(error),
            413 => Self::TooLarge(error),
            429 => Self::Limited(error),
            503 => Self::Unavailable(error, limit::RETRY_AFTER_SECONDS),
            _ => Self::Internal(error),
        }
    }

    /// The answer to what the framework refused by itself, in our body.
    pub fn response_of(refused: poem::Error) -> Response {
        if refused.is_from_response() {
            return refused.into_response();
        }
        let fault = match refused.status() {
            StatusCode::METHOD_NOT_ALLOWED => Self::new(Code::MethodNotAllowed),
            StatusCode::NOT_FOUND => {
                Self::hinting(Code::NotFound, "no such route", "/docs lists the routes")
            }
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::TooLarge),
            status if status.is_client_error() => {
                Self::with(Code::InvalidRequest, refused.to_string())
            }
            _ => {
                error!(error = %refused, "a request failed");
                Self::new(Code::Internal)
            }
        };
        poem::Error::from(fault).into_response()
    }
}

impl From<skein_sql::Error> for Fault {
    fn from(failed: skein_sql::Error) -> Self {
        Self::new(code_of(&failed))
    }
}

/// What a failed statement is to the caller. The log has the rest.
pub fn code_of(failed: &skein_sql::Error) -> Code {
    // Whatever kept a connection from coming up: without one there is no database for us.
    if failed.is_connection() || matches!(failed, skein_sql::Error::Pool(_)) {
        warn!(error = failed.brief(), "the database does not answer a request");
        return Code::Unavailable;
    }
    error!(error = failed.brief(), "a request's statement failed");
    Code::Internal
}
