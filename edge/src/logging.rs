//! Where the log goes: to stderr, as text or, with `SKEIN_LOG_FORMAT=json`, as JSON lines.

use tracing_subscriber::EnvFilter;

/// Starts the log. `SKEIN_LOG` filters it, as `RUST_LOG` does elsewhere; default `info`.
pub fn start() {
    let filter = EnvFilter::try_from_env("SKEIN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::env::var("SKEIN_LOG_FORMAT").is_ok_and(|format| format == "json") {
        log.json().init();
    } else {
        log.init();
    }
}
