//! The one error body of our routes.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};
use skein_wire::Code;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
pub struct Error {
    /// For programs; the same words as on the socket.
    pub code: String,
    /// For people: what happened.
    pub message: String,
    /// What to do about it, where that is known.
    #[oai(skip_serializing_if_is_none)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Error {
    /// The error of this code in its own words.
    pub fn new(code: Code) -> Self {
        Self::with(code, code.message())
    }

    /// The error of this code, worded for the case.
    pub fn with(code: Code, message: impl Into<String>) -> Self {
        Self { code: code.as_str().into(), message: message.into(), hint: None }
    }

    /// The same, with what to do about it.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
