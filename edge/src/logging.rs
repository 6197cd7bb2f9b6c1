//! Where the log goes: to stderr, as text or as JSON lines.

use tracing_subscriber::EnvFilter;

/// Starts the log. `RUST_LOG` filters it, default `info`; `SKEIN_LOG=json` makes it JSON lines.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::env::var("SKEIN_LOG").is_ok_and(|format| format == "json") {
        log.json().init();
    } else {
        log.init();
    }
}
