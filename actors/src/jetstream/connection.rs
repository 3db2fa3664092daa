//! The connection to NATS that publisher and feed share.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use async_nats::{ConnectOptions, Event, connection::State, jetstream::Context};
use tokio::sync::watch;
use tracing::{info, warn};
use weir_types::{ClusterId, SUBJECT_PREFIX, ports::BusError};

use super::topology::Topology;

/// How long a request of JetStream, or an acknowledgement, may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Publishes that may await their acknowledgement on one connection.
const ACKS_IN_FLIGHT_MAX: usize = 8 * 1024;

/// How this node says who it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// It does not.
    #[default]
    None,
    /// By a token.
    Token(String),
    /// By user and password.
    UserPassword {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(…)",
            Self::UserPassword { .. } => "UserPassword(…)",
        })
    }
}

/// Where NATS is, and how the streams are kept there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JetStreamConfig {
    /// `nats://host:port`, at least one; `tls://` asks for TLS.
    pub servers: Vec<String>,
    /// This client's name, as NATS shows it.
    pub name: String,
    /// How this node says who it is.
    pub credentials: Credentials,
    /// A PEM file of the authorities that vouch for the servers, if not the system's.
    pub authorities: Option<PathBuf>,
    /// Whether a connection without TLS is refused.
    pub require_tls: bool,
    /// Copies of each stream within NATS: 1 to 5, odd.
    pub replicas: usize,
    /// The cluster whose events are carried.
    pub cluster: ClusterId,
    /// What the names of streams and subjects begin with: one token, in lower case.
    pub prefix: String,
}

impl JetStreamConfig {
    /// A plain connection of a cluster to some servers, one copy of each stream, under the usual prefix.
    #[must_use]
    pub fn to(cluster: ClusterId, servers: Vec<String>) -> Self {
        Self {
            servers,
            cluster,
            prefix: SUBJECT_PREFIX.into(),
            name: "weir".into(),
            credentials: Credentials::None,
            authorities: None,
            require_tls: false,
            replicas: 1,
        }
    }
}

/// Why a connection cannot ever be made. A server that is not there is not one
/// of the reasons: it is waited for in the background.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An address, or another option, is not legal.
    #[error("nats options are not usable: {reason}")]
    Options {
        /// What is wrong.
        reason: String,
    },
}

/// A connection that comes and goes with the servers. Clones share it.
#[derive(Clone)]
pub struct Connection {
    client: async_nats::Client,
    context: Context,
    /// Counts the times that the connection was lost.
    losses: watch::Receiver<u64>,
    topology: Arc<Topology>,
}

impl Connection {
    /// Begins to connect, and goes on trying for ever. Returns at once.
    ///
    /// # Errors
    /// [`ConnectError`] when the options cannot work.
    pub async fn open(config: &JetStreamConfig) -> Result<Self, ConnectError> {
        let (lost, losses) = watch::channel(0);
        let mut options = ConnectOptions::new()
            .name(&config.name)
            .retry_on_initial_connect()
            .require_tls(config.require_tls)
            .request_timeout(Some(REQUEST_TIMEOUT))
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected) {
                    lost.send_modify(|count| *count += 1);
                }
                log(&event);
                std::future::ready(())
            });
        options = match &config.credentials {
            Credentials::None => options,
            Credentials::Token(token) => options.token(token.clone()),
            Credentials::UserPassword { user, password } => {
                options.user_and_password(user.clone(), password.clone())
            }
        };
        if let Some(path) = &config.authorities {
            options = options.add_root_certificates(path.clone());
        }
        let connected = async_nats::connect_with_options(config.servers.as_slice(), options).await;
        let client = connected.map_err(|error| ConnectError::Options { reason: error.to_string() })?;
        let context = async_nats::jetstream::context::ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            .max_ack_inflight(ACKS_IN_FLIGHT_MAX)
            .build(client.clone());
        let topology = Arc::new(Topology::new(config.cluster, &config.prefix, config.replicas));
        Ok(Self { client, context, losses, topology })
    }

    /// Whether a server is connected now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// JetStream over this connection, if a server is connected: what is sent
    /// without one would only wait in a buffer.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] without a server.
    pub fn jetstream(&self) -> Result<&Context, BusError> {
        match self.is_connected() {
            true => Ok(&self.context),
            false => Err(BusError::Unavailable { reason: "nats is not connected".into() }),
        }
    }

    /// Does `work` until it is done or the connection is lost, because an
    /// answer that was lost with it would only be waited for in vain. What the
    /// work had brought about by then is not known.
    ///
    /// # Errors
    /// Those of `work`, and [`BusError::Unavailable`] when the connection is lost.
    pub async fn while_connected<T>(
        &self,
        work: impl Future<Output = Result<T, BusError>>,
    ) -> Result<T, BusError> {
        let mut losses = self.losses.clone();
        losses.mark_unchanged();
        tokio::select! {
            done = work => done,
            Ok(()) = losses.changed() => {
                Err(BusError::Unavailable { reason: "connection to nats was lost".into() })
            }
        }
    }

    /// How the streams are called and kept.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }
}

fn reconnect_delay(attempts: usize) -> Duration {
    Duration::from_millis(50 << attempts.min(5))
}

fn log(event: &Event) {
    match event {
        Event::Connected => info!("nats connected"),
        Event::Disconnected => warn!("nats disconnected"),
        other => warn!(event = %other, "nats reported"),
    }
}
