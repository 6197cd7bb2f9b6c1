//! The worker's settings, all from the environment.

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
    /// `SKEIN_LOG`: `text` or `json`. Default: `text`. `RUST_LOG` says how much; default `info`.
    pub log: Log,
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
        Ok(Self { connector, region: variable("SKEIN_REGION").unwrap_or_default(), log })
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
    fn an_unknown_log_form_is_refused() {
        let url = ("DATABASE_URL", "postgres://a@localhost/b");

        assert_eq!(read(&[url, ("SKEIN_LOG", "json")]).unwrap().log, Log::Json);
        assert!(read(&[url, ("SKEIN_LOG", "xml")]).is_err());
    }
}
