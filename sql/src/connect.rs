//! Connections: how they are made, pooled and listened on.
//!
//! Every connection of a node carries the node's name, so that the node can be fenced by ending its
//! backends, and registers itself with its node row before any other statement: a node that was
//! declared dead gets no new connection. Keepalives and timeouts bound how long a vanished peer or a
//! forgotten transaction can hold locks (delivery.md 8).

use std::{future::poll_fn, sync::Arc, time::Duration};

use deadpool_postgres::{ClientWrapper, Hook, HookError, Manager, ManagerConfig, RecyclingMethod};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::debug;

use crate::{Error, Result, nodes};

/// A pool of connections.
pub type Pool = deadpool_postgres::Pool;
/// A connection out of a [`Pool`].
pub type Db = deadpool_postgres::Object;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for a pooled connection before it is told that there is none.
const POOL_WAIT: Duration = Duration::from_secs(5);
/// Notifications kept for a listener that is slow; past it the connection is dropped, which is a gap.
const NOTIFICATIONS_MAX: usize = 8192;

/// How the statements of a pool are planned. Planning one anew for its values costs more than running
/// it, with partitions above all; and tables that are empty one moment are full the next, so rows are
/// found by index whatever the tables look like. Not for workers, whose sweeps read tables whole.
const BY_INDEX: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off";

/// Which kind of work a connection is for, and so which timeouts it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settings {
    /// Statements and transactions are over within 10 s.
    Ordinary,
    /// As ordinary, and a commit does not wait for the disk: what is lost is done again.
    Relaxed,
    /// Waits for notifications: no timeout.
    Listener,
    /// Partitions and vacuum: waits for locks 5 s, works as long as it takes.
    Maintenance,
}

impl Settings {
    fn options(self) -> &'static str {
        match self {
            Self::Ordinary => "-c statement_timeout=10s -c idle_in_transaction_session_timeout=10s",
            Self::Relaxed => {
                "-c statement_timeout=10s -c idle_in_transaction_session_timeout=10s \
                 -c synchronous_commit=off"
            }
            Self::Listener => "-c synchronous_commit=off",
            Self::Maintenance => "-c lock_timeout=5s",
        }
    }
}

/// Makes connections to one database, in the name of one node.
#[derive(Clone)]
pub struct Connector {
    config: Config,
    node: Option<i32>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration holds the password.
        f.debug_struct("Connector").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Connector {
    /// Reads a `postgres://` URL. `sslmode=require` verifies the server against public roots.
    ///
    /// # Errors
    /// When the URL cannot be read; the text of the URL, which may hold a password, is not repeated.
    pub fn new(url: &str) -> Result<Self> {
        let mut config: Config = url.parse().map_err(|_| {
            Error::Settings("DATABASE_URL is not a postgres:// URL that can be read".into())
        })?;
        config
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(15));
        Ok(Self { config, node: None })
    }

    /// The same database, in the name of this node.
    pub fn of_node(&self, node: i32) -> Self {
        Self { node: Some(node), ..self.clone() }
    }

    fn config(&self, settings: Settings) -> Config {
        let mut config = self.config.clone();
        let name = self.node.map_or_else(|| "skein".to_owned(), nodes::application_name);
        // Short statements gain nothing from parallel workers or compiled plans.
        let always = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=5 \
                                 -c tcp_keepalives_count=3 -c tcp_user_timeout=15000 \
                                 -c max_parallel_workers_per_gather=0 -c jit=off";
        let given = self.config.get_options().unwrap_or_default();
        config
            .application_name(name)
            .options(format!("{given} {always} {}", settings.options()).trim());
        config
    }

    /// One connection, registered with its node.
    ///
    /// # Errors
    /// When the server cannot be reached, or the node is no longer alive ([`Error::Fenced`]).
    pub async fn connect(&self, settings: Settings) -> Result<Client> {
        let (client, _) = self.open(settings, false).await?;
        Ok(client)
    }

    /// As [`Connector::connect`], for whoever keeps the connection long: each statement is prepared
    /// once.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect_cached(&self, settings: Settings) -> Result<ClientWrapper> {
        let client = self.connect(settings).await?;
        // The connection's own task ends with the client; there is none to end beside it.
        Ok(ClientWrapper::new(client, tokio::spawn(std::future::ready(()))))
    }

    /// A connection whose notifications are read; it listens to nothing yet.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn listener(&self) -> Result<Listener> {
        let (client, notifications) = self.open(Settings::Listener, true).await?;
        Ok(Listener { client, notifications })
    }

    /// A pool of at most `size` connections, for an edge's short statements.
    ///
    /// # Errors
    /// Only when the settings make no pool; no connection is opened yet.
    pub fn pool(&self, settings: Settings, size: usize) -> Result<Pool> {
        let mut config = self.config(settings);
        config.options(format!("{} {BY_INDEX}", config.get_options().unwrap_or_default()));
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match tls(&config) {
            None => Manager::from_config(config, NoTls, manager),
            Some(tls) => Manager::from_config(config, tls, manager),
        };
        let node = self.node;
        deadpool_postgres::Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(POOL_WAIT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                Box::pin(async move {
                    match node {
                        None => Ok(()),
                        Some(node) => nodes::register_backend(&**client, node)
                            .await
                            .map_err(|error| HookError::message(error.to_string())),
                    }
                })
            }))
            .build()
            .map_err(|error| Error::Settings(error.to_string()))
    }

    async fn open(
        &self,
        settings: Settings,
        listens: bool,
    ) -> Result<(Client, mpsc::Receiver<Notification>)> {
        let config = self.config(settings);
        let (heard, notifications) = mpsc::channel(if listens { NOTIFICATIONS_MAX } else { 1 });
        let client = match tls(&config) {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(drive(connection, heard));
                client
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls).await?;
                tokio::spawn(drive(connection, heard));
                client
            }
        };
        if let Some(node) = self.node {
            nodes::register_backend(&client, node).await?;
        }
        Ok((client, notifications))
    }
}

fn tls(config: &Config) -> Option<MakeRustlsConnect> {
    if config.get_ssl_mode() != SslMode::Require {
        return None;
    }
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring serves the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Some(MakeRustlsConnect::new(config))
}

/// A notification as it came.
#[derive(Debug)]
pub struct Notification {
    /// The channel.
    pub channel: String,
    /// The payload.
    pub payload: String,
}

/// A connection that listens. When its notifications end, the connection is gone, and something may
/// have been missed.
#[derive(Debug)]
pub struct Listener {
    /// For LISTEN.
    pub client: Client,
    /// What was heard, in order.
    pub notifications: mpsc::Receiver<Notification>,
}

impl Listener {
    /// Starts to listen to the channel of a node.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn listen(&self, node: i32) -> Result<()> {
        // The channel is made of a number; LISTEN takes no parameters.
        Ok(self.client.batch_execute(&format!("listen {}", nodes::channel(node))).await?)
    }
}

/// Drives a connection until it ends, handing on what it hears. Nothing is awaited in between: the
/// same task carries the replies.
async fn drive<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    heard: mpsc::Sender<Notification>,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(n))) => {
                let notification =
                    Notification { channel: n.channel().into(), payload: n.payload().into() };
                if let Err(mpsc::error::TrySendError::Full(_)) = heard.try_send(notification) {
                    debug!("a listener fell behind; its connection is dropped");
                    return;
                }
            }
            Some(Ok(_)) => (),
            Some(Err(error)) => {
                debug!(%error, "a database connection broke");
                return;
            }
            None => return,
        }
    }
}
