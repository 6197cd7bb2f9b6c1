//! The worker's settings, all from the environment.

use skein_fetch::{Allow, AllowError, VARIABLE};
use skein_sql::Connector;
use tracing_subscriber::EnvFilter;

use crate::{Error, Result};

/// What the worker is told.
#[derive(Debug)]
pub struct Config {
    /// `DATABASE_URL`: where PostgreSQL is. Required. It may hold a password, so it is read into
    /// the connector at once, which does not print it.
    pub connector: Connector,
    /// `SKEIN_REGION`: a name for where this node runs, shown beside it. Default: empty.
    pub region: String,
    /// `SKEIN_DEPLOYMENT_KEY` (or `BROKER_ENCRYPTION_KEY`), 64 hex characters, as the edges have it:
    /// opens the headers of URL watches. Without it, watches that have some fail.
    pub deployment_key: Option<Key>,
    /// `SKEIN_FETCH_ALLOW`, default nothing: ranges and ports beyond the public internet that URL
    /// watches may look at. The edges' must be the same.
    pub fetch_allow: Allow,
    /// `SKEIN_LOG`: `text` or `json`. Default: `text`. `RUST_LOG` says how much; default `info`.
    pub log: Log,
}

/// A key that is not printed.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// The key.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text, &mut key).ok()?;
        Some(Self(key))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// How log lines look. They go to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// For people.
    Text,
    /// One object a line, for machines.
    Json,
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// When a variable is missing or cannot be understood; the text names it.
    pub fn from_env() -> Result<Self> {
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let url = variable("DATABASE_URL")
            .ok_or_else(|| Error::Settings("set DATABASE_URL to a postgres:// URL".into()))?;
        let log = match variable("SKEIN_LOG").as_deref() {
            None | Some("text") => Log::Text,
            Some("json") => Log::Json,
            Some(_) => return Err(Error::Settings("SKEIN_LOG is text or json".into())),
        };
        let connector = Connector::new(&url).map_err(|error| Error::Settings(error.to_string()))?;
        let key = variable("SKEIN_DEPLOYMENT_KEY").or_else(|| variable("BROKER_ENCRYPTION_KEY"));
        let must = || Error::Settings("SKEIN_DEPLOYMENT_KEY must be 64 hex characters".into());
        let deployment_key = key.map(|key| Key::parse(&key).ok_or_else(must)).transpose()?;
        let allow: Result<Allow, AllowError> = variable(VARIABLE).unwrap_or_default().parse();
        let fetch_allow = allow.map_err(|error| Error::Settings(format!("{VARIABLE}: {error}")))?;
        let region = variable("SKEIN_REGION").unwrap_or_default();
        Ok(Self { connector, region, deployment_key, fetch_allow, log })
    }
}

impl Log {
    /// Starts logging for this process.
    pub fn start(self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self {
            Self::Text => log.init(),
            Self::Json => log.json().init(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config> {
        let find = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
        Config::read(find)
    }

    #[test]
    fn without_a_database_it_says_which_variable_to_set() {
        let refused = read(&[]).unwrap_err();

        assert!(refused.to_string().contains("DATABASE_URL"), "{refused}");
    }

    #[test]
    fn the_password_is_not_printed() {
        let config = read(&[("DATABASE_URL", "postgres://a:hush@localhost/b")]).unwrap();
        let refused = read(&[("DATABASE_URL", "postgres://a:hush@[")]).unwrap_err();

        assert!(!format!("{config:?}").contains("hush"));
        assert!(!format!("{refused:?} {refused}").contains("hush"));
        assert_eq!((config.region.as_str(), config.log), ("", Log::Text));
    }

    #[test]
    fn a_key_has_64_digits_and_is_not_printed() {
        let url = ("DATABASE_URL", "postgres://a@localhost/b");
        let key = "5a".repeat(32);
        let read = |key: &str| read(&[url, ("SKEIN_DEPLOYMENT_KEY", key)]);

        let config = read(&key).unwrap();
        assert_eq!(config.deployment_key.as_ref().map(Key::bytes), Some([0x5a; 32]));
        assert!(!format!("{config:?}").contains(&key));
        for wrong in ["5a", &key[1..], &key.replace('a', "x"), &format!("{key}00")] {
            let refused = read(wrong).unwrap_err().to_string();
            assert!(
                refused.contains("SKEIN_DEPLOYMENT_KEY") && !refused.contains(wrong),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_range_that_cannot_be_read_is_refused() {
        let url = ("DATABASE_URL", "postgres://a@localhost/b");

        assert!(read(&[url, ("SKEIN_FETCH_ALLOW", "127.0.0.0/8:8000-9000")]).is_ok());
        let refused = read(&[url, ("SKEIN_FETCH_ALLOW", "localhost")]).unwrap_err();
        assert!(refused.to_string().contains("SKEIN_FETCH_ALLOW"), "{refused}");
    }

    #[test]
    fn an_unknown_log_form_is_refused() {
        let url = ("DATABASE_URL", "postgres://a@localhost/b");

        assert_eq!(read(&[url, ("SKEIN_LOG", "json")]).unwrap().log, Log::Json);
        assert!(read(&[url, ("SKEIN_LOG", "xml")]).is_err());
    }
}
