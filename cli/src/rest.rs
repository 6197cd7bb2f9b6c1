//! HTTP requests to edges, signed by the owner, an admin or a member, or with the operator's token.
//!
//! Several edges are tried in turn, as long as none was reached: a request that may have arrived is
//! not repeated.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use skein_crypto::{Secret, request};

use crate::home::Membership;
use crate::{Error, Result, time, tls};

/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Who asks.
#[derive(Debug, Clone)]
pub enum Signer {
    /// A key of the mesh.
    Key(Secret),
    /// The deployment's operator, by token.
    Operator(String),
    /// Nobody in particular.
    Nobody,
}

/// The HTTP side of some edges.
#[derive(Debug, Clone)]
pub struct Rest {
    bases: Vec<String>,
    signer: Signer,
    http: Client,
}

impl Rest {
    /// Asks at these addresses (`http(s)://host[:port]`).
    pub fn new(bases: Vec<String>, signer: Signer) -> Result<Self> {
        let http = client_builder()
            .timeout(DEADLINE)
            .connect_timeout(DEADLINE / 2)
            .build()
            .map_err(|error| Error::NotConnected(reason(&error)))?;
        Ok(Self { bases, signer, http })
    }

    /// Asks the edges of a mesh, signed with the strongest key that this home has in it.
    pub fn of(membership: &Membership) -> Result<Self> {
        let bases = membership.edges.iter().filter_map(|edge| http_of(edge)).collect();
        Self::new(bases, Signer::Key(membership.signer()?))
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        answered(self.send(Method::GET, path, Vec::new()).await?).await
    }

    /// Reads a page of text.
    pub async fn text(&self, path: &str) -> Result<String> {
        let response = self.send(Method::GET, path, Vec::new()).await?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        response.text().await.map_err(|error| Error::NotConnected(reason(&error)))
    }

    /// Makes something.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let body = serde_json::to_vec(body).expect("REST objects have string keys only");
        answered(self.send(Method::POST, path, body).await?).await
    }

    /// Changes something.
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let body = serde_json::to_vec(body).expect("REST objects have string keys only");
        answered(self.send(Method::PATCH, path, body).await?).await
    }

    /// Ends something.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let response = self.send(Method::DELETE, path, Vec::new()).await?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(refusal(response).await)
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Response> {
        let mut problem = "no edge is known".to_owned();
        for base in &self.bases {
            let mut request = self.http.request(method.clone(), format!("{base}{path}"));
            match &self.signer {
                Signer::Key(secret) => {
                    let signed =
                        request::sign(secret, method.as_str(), path, &body, time::now_ms());
                    for (name, value) in signed.headers() {
                        request = request.header(name, value);
                    }
                }
                Signer::Operator(token) => request = request.bearer_auth(token),
                Signer::Nobody => (),
            }
            if !body.is_empty() {
                request = request.header("content-type", "application/json").body(body.clone());
            }
            match request.send().await {
                Ok(response) => return Ok(response),
                Err(error) if error.is_connect() => problem = format!("{base}: {}", reason(&error)),
                Err(error) => {
                    return Err(Error::NotConnected(format!("{base}: {}", reason(&error))));
                }
            }
        }
        Err(Error::NotConnected(problem))
    }
}

/// Reads an answer, or why there is none.
pub async fn answered<T: DeserializeOwned>(response: Response) -> Result<T> {
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let text = response.text().await.map_err(|error| Error::NotConnected(reason(&error)))?;
    serde_json::from_str(&text).map_err(|error| Error::Unexpected(error.to_string()))
}

/// Reads either body of refusal: ours, or the reference's `{ok: false, error}`.
async fn refusal(response: Response) -> Error {
    #[derive(serde::Deserialize)]
    struct Body {
        code: Option<String>,
        message: Option<String>,
        hint: Option<String>,
        error: Option<String>,
    }
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    match serde_json::from_str::<Body>(&text) {
        Ok(Body { code: Some(code), message: Some(message), hint, .. }) => {
            Error::Refused { code, message, hint }
        }
        Ok(Body { error: Some(error), .. }) => {
            Error::Refused { code: error.clone(), message: error, hint: None }
        }
        _ => Error::Unexpected(format!("HTTP {status} without a reason")),
    }
}

/// The HTTP address of a socket URL: `ws://host/ws` is at `http://host`. An HTTP address is its
/// own.
pub fn http_of(edge: &str) -> Option<String> {
    let (scheme, rest) = edge.split_once("://")?;
    let scheme = match scheme {
        "ws" | "http" => "http",
        "wss" | "https" => "https",
        _ => return None,
    };
    let host = rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty())?;
    Some(format!("{scheme}://{host}"))
}

/// The socket URL of an HTTP address; a socket URL is its own.
pub fn ws_of(edge: &str) -> Option<String> {
    let http = http_of(edge)?;
    Some(format!("{}/ws", http.replacen("http", "ws", 1)))
}

/// How our HTTP clients begin. Sockets go straight to the edge and trust what [`tls`] trusts, so
/// requests do too: what only one of them used would make one work and the other not.
pub fn client_builder() -> ClientBuilder {
    Client::builder().no_proxy().tls_backend_preconfigured(tls::config().as_ref().clone())
}

/// Why a request got no answer: the innermost cause, since what reqwest wraps around it names only
/// its own parts.
pub fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_and_http_addresses_name_each_other() {
        assert_eq!(http_of("ws://127.0.0.1:7900/ws").as_deref(), Some("http://127.0.0.1:7900"));
        assert_eq!(http_of("wss://a.example/ws").as_deref(), Some("https://a.example"));
        assert_eq!(ws_of("https://a.example/").as_deref(), Some("wss://a.example/ws"));
        assert_eq!(ws_of("ws://a:1/ws").as_deref(), Some("ws://a:1/ws"));
        for bad in ["", "a.example", "ftp://a", "http://", "ws:///ws"] {
            assert_eq!(http_of(bad), None, "{bad}");
        }
    }
}
