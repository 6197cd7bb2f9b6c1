//! The edge's settings, from its environment. Absent configuration refuses; nothing opens by default.

use std::{net::SocketAddr, path::PathBuf};

use skein_fetch::Allow;
use skein_wire::limit;

/// A setting that is missing or cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct Error {
    variable: &'static str,
    problem: String,
}

/// A text that is not printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The 32 bytes that it is the hex of. Its form was checked when it was read.
    pub fn key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        hex::decode_to_slice(&self.0, &mut key).expect("its form was checked");
        key
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The edge's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// `DATABASE_URL`, required: `postgres://…`, a direct connection, not a transaction pooler.
    pub database_url: Secret,
    /// `SKEIN_LISTEN`, default `0.0.0.0:7900`.
    pub listen: SocketAddr,
    /// `SKEIN_PUBLIC_URL`: where peers reach this edge, `ws://…/ws` or `wss://…/ws`. Advertised to
    /// clients; without it this edge is not.
    pub public_url: Option<String>,
    /// `SKEIN_REGION`, default empty: a label of the node.
    pub region: String,
    /// `SKEIN_DEPLOYMENT_KEY` (or `BROKER_ENCRYPTION_KEY`), required: 64 hex characters. Signs
    /// tickets and seals what the server itself must open again.
    pub deployment_key: Secret,
    /// `SKEIN_OPERATOR_TOKEN`: who may create meshes. Without it nobody may.
    pub operator_token: Option<Secret>,
    /// `SKEIN_LEGACY` has `hooks`: the reference's unauthenticated status hook is served.
    pub legacy_hooks: bool,
    /// `MAX_CONNECTIONS_PER_MESH`, default 1000: sockets of a mesh that sets no limit itself.
    pub peers_max: i64,
    /// `HOOK_RATE_LIMIT_PER_MIN`, default 30, for one pid and cwd.
    pub hooks_per_minute: u32,
    /// `SKEIN_API_KEY_RATE_PER_MIN`, default 6000: requests of one API key, on this edge.
    pub api_key_requests_per_minute: u32,
    /// `SKEIN_FETCH_ALLOW`, default nothing: ranges and ports beyond the public internet that URL
    /// watches may look at. The workers' must be the same.
    pub fetch_allow: Allow,
    /// `SKEIN_TEST_TARGETS` is `1`: `/test/clock`, `/test/flip` and `/test/html` are served, for
    /// watches to be tried on.
    pub test_targets: bool,
    /// `SKEIN_TLS_CERT` and `SKEIN_TLS_KEY`: PEM files; both or none.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// `GIT_SHA`: what `/health` says, default `unknown`.
    pub git_sha: String,
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// Names the variable and what it must be. Values are not repeated.
    pub fn from_env() -> Result<Self, Error> {
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// Reads settings from `get`.
    ///
    /// # Errors
    /// As [`Config::from_env`].
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let fail = |variable, problem: &str| Error { variable, problem: problem.to_owned() };
        let required = |name: &'static str, what: &str| get(name).ok_or_else(|| fail(name, what));
        let key = get("SKEIN_DEPLOYMENT_KEY").or_else(|| get("BROKER_ENCRYPTION_KEY")).ok_or_else(
            || fail("SKEIN_DEPLOYMENT_KEY", "required: 64 hex characters, kept secret"),
        )?;
        if !hex::decode(&key).is_ok_and(|bytes| bytes.len() == 32) {
            return Err(fail("SKEIN_DEPLOYMENT_KEY", "must be 64 hex characters"));
        }
        let legacy = get("SKEIN_LEGACY").unwrap_or_default();
        let mut legacy_hooks = false;
        for word in legacy.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "hooks" => legacy_hooks = true,
                // Served by edges that store files; accepted so that one setting fits them all.
                "uploads" => (),
                _ => return Err(fail("SKEIN_LEGACY", "may hold `uploads` and `hooks` only")),
            }
        }
        let public_url = get("SKEIN_PUBLIC_URL");
        if public_url.as_ref().is_some_and(|url| {
            !(url.starts_with("ws://") || url.starts_with("wss://")) || !url.ends_with("/ws")
        }) {
            return Err(fail("SKEIN_PUBLIC_URL", "must be ws://…/ws or wss://…/ws"));
        }
        let tls = match (get("SKEIN_TLS_CERT"), get("SKEIN_TLS_KEY")) {
            (Some(certificates), Some(key)) => Some((certificates.into(), key.into())),
            (None, None) => None,
            _ => return Err(fail("SKEIN_TLS_CERT", "and SKEIN_TLS_KEY go together")),
        };
        Ok(Self {
            database_url: required("DATABASE_URL", "required: postgres://…")?.into(),
            listen: get("SKEIN_LISTEN")
                .unwrap_or_else(|| "0.0.0.0:7900".to_owned())
                .parse()
                .map_err(|_| fail("SKEIN_LISTEN", "must be an address and port"))?,
            public_url,
            region: get("SKEIN_REGION").unwrap_or_default(),
            deployment_key: key.into(),
            operator_token: get("SKEIN_OPERATOR_TOKEN").map(Secret::from),
            legacy_hooks,
            peers_max: number(&get, "MAX_CONNECTIONS_PER_MESH", limit::PEERS_PER_MESH_MAX)?,
            hooks_per_minute: number(&get, "HOOK_RATE_LIMIT_PER_MIN", limit::HOOKS_PER_MINUTE)?,
            api_key_requests_per_minute: number(
                &get,
                "SKEIN_API_KEY_RATE_PER_MIN",
                limit::API_KEY_REQUESTS_PER_MINUTE,
            )?,
            fetch_allow: get(skein_fetch::VARIABLE).unwrap_or_default().parse().map_err(
                |error: skein_fetch::AllowError| fail(skein_fetch::VARIABLE, &error.to_string()),
            )?,
            test_targets: get("SKEIN_TEST_TARGETS").as_deref() == Some("1"),
            tls,
            git_sha: get("GIT_SHA").unwrap_or_else(|| "unknown".to_owned()),
        })
    }
}

fn number<T: std::str::FromStr + PartialOrd + From<u8>>(
    get: impl Fn(&str) -> Option<String>,
    variable: &'static str,
    default: T,
) -> Result<T, Error> {
    let Some(text) = get(variable) else { return Ok(default) };
    text.parse()
        .ok()
        .filter(|number| *number >= T::from(1))
        .ok_or_else(|| Error { variable, problem: "must be a whole number above zero".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Config, Error> {
        Config::read(|name| {
            settings.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn absent_configuration_refuses_and_names_the_variable() {
        let key = "ab".repeat(32);
        let error = read(&[]).unwrap_err().to_string();
        assert!(error.contains("SKEIN_DEPLOYMENT_KEY"), "{error}");
        let error = read(&[("SKEIN_DEPLOYMENT_KEY", &key)]).unwrap_err().to_string();
        assert!(error.contains("DATABASE_URL"), "{error}");
        let short = read(&[("SKEIN_DEPLOYMENT_KEY", "abcd"), ("DATABASE_URL", "x")]).unwrap_err();
        assert!(!short.to_string().contains("abcd"), "values are not repeated");
    }

    #[test]
    fn nothing_is_open_by_default() {
        let key = "ab".repeat(32);
        let config =
            read(&[("BROKER_ENCRYPTION_KEY", &key), ("DATABASE_URL", "postgres://x")]).unwrap();
        assert!(!config.legacy_hooks && config.operator_token.is_none());
        assert!(!format!("{config:?}").contains(&key), "secrets are not printed");
    }
}
