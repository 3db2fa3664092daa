use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_types::limits;

use super::{
    CONFIG_VERSION, ClusterConfig, ConfigError, Member, SinkConfig, SinkFlag, sink::without_passwords,
};

/// A node's config as it is written. Every field has a default, so a file names only what differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// The format of this file: 1.
    pub version: i64,
    /// This node's id, from 1. Never used again for another node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<u64>,
    /// The cluster's id. Needed unless the data folder has it or a cluster of one is bootstrapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<Uuid>,
    /// The data folder.
    pub data_dir: PathBuf,
    /// Where clients are answered.
    pub listen: SocketAddr,
    /// Where peers are answered.
    pub peer_listen: SocketAddr,
    /// The URL that clients are given for this node; `listen` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// The address that peers are given for this node; `peer_listen` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_advertise: Option<String>,
    /// The members that the cluster begins with, this node among them.
    pub peers: Vec<Member>,
    /// Begin a new cluster of `peers` when the data folder is fresh.
    pub bootstrap: bool,
    /// What is done about a damaged or lost data folder, with the help of the peers.
    pub repair: Repair,
    /// NATS servers; without any, the outbox is off and projections follow the local log.
    pub nats: Vec<String>,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Which log lines are written, in the syntax of tracing's `EnvFilter`.
    pub log_filter: String,
    /// Bounds of this node.
    pub limits: LimitsConfig,
    /// What every node of the cluster must have equal.
    pub cluster: ClusterConfig,
    /// Databases outside that projections fold into, by the names that their sources have for them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sinks: BTreeMap<String, SinkConfig>,
}

/// The bounds of a node that may be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections at once on the edge port.
    pub connections: usize,
    /// Appends admitted and not yet answered.
    pub in_flight_appends: usize,
    /// Bytes of appends admitted and not yet answered.
    pub in_flight_bytes: usize,
    /// Stream actors alive at once.
    pub active_streams: usize,
    /// Milliseconds that one request may take.
    pub request_timeout_ms: u64,
    /// Milliseconds that an append or a read waits for a leader.
    pub leader_wait_ms: u64,
    /// Milliseconds that a graceful stop may take.
    pub shutdown_ms: u64,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// What a node does about a data folder that was damaged or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Repair {
    /// It mends its log with the records of its peers; where that cannot be, it moves its folder aside and
    /// takes its seat again under a new id, while a majority is healthy.
    Auto,
    /// It only mends its log.
    Mend,
    /// It refuses to start.
    Off,
}

const LIMITS: LimitsConfig = LimitsConfig {
    connections: 4_096,
    in_flight_appends: limits::IN_FLIGHT_APPENDS_MAX,
    in_flight_bytes: limits::IN_FLIGHT_BYTES_MAX,
    active_streams: limits::ACTIVE_STREAMS_MAX,
    request_timeout_ms: 30_000,
    leader_wait_ms: 3_000,
    shutdown_ms: 10_000,
};

impl Default for LimitsConfig {
    fn default() -> Self {
        LIMITS
    }
}

/// The defaults that are not numbers of their own.
const DATA_DIR: &str = "./weir-data";
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9123);
const PEER_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9124);
const LOG_FILTER: &str = "info";

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            version: CONFIG_VERSION,
            node_id: None,
            cluster_id: None,
            data_dir: DATA_DIR.into(),
            listen: LISTEN.into(),
            peer_listen: PEER_LISTEN.into(),
            advertise: None,
            peer_advertise: None,
            peers: Vec::new(),
            bootstrap: false,
            repair: Repair::Auto,
            nats: Vec::new(),
            log_format: LogFormat::Pretty,
            log_filter: LOG_FILTER.to_owned(),
            limits: LIMITS,
            cluster: ClusterConfig::default(),
            sinks: BTreeMap::new(),
        }
    }
}

impl NodeConfig {
    /// Reads a config's text.
    ///
    /// # Errors
    /// [`ConfigError`] naming the version, the unknown field or the bad value.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let table: toml::Table =
            text.parse().map_err(|error| ConfigError::Syntax { reason: words(&error) })?;
        match table.get("version") {
            Some(toml::Value::Integer(CONFIG_VERSION)) => {}
            Some(other) => return Err(ConfigError::Version { found: format!("`version = {other}`") }),
            None => return Err(ConfigError::Version { found: "no `version` key".to_owned() }),
        }
        toml::from_str(text).map_err(|error| match error.message().starts_with("unknown field") {
            true => ConfigError::UnknownField { reason: words(&error) },
            false => ConfigError::Value { field: "file", reason: words(&error) },
        })
    }

    /// The config as a file would say it.
    ///
    /// # Panics
    /// Never: every field has a TOML form.
    #[must_use]
    pub fn dump(&self) -> String {
        toml::to_string_pretty(self).expect("every field of a config has a TOML form")
    }
}

/// The parser's words with its picture of the line.
fn words(error: &toml::de::Error) -> String {
    without_passwords(error.to_string().trim_end())
}

/// The flags of a node; each has a `WEIR_*` variable and wins over the file.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigFlags {
    /// Config file (TOML, `version = 1`).
    #[arg(long, env = "WEIR_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// This node's id, from 1.
    #[arg(long, env = "WEIR_NODE_ID", value_name = "N")]
    pub node_id: Option<u64>,
    /// The cluster's id.
    #[arg(long, env = "WEIR_CLUSTER_ID", value_name = "UUID")]
    pub cluster_id: Option<Uuid>,
    /// The data folder.
    #[arg(long, env = "WEIR_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where clients are answered.
    #[arg(long, env = "WEIR_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Where peers are answered.
    #[arg(long, env = "WEIR_PEER_LISTEN", value_name = "ADDR")]
    pub peer_listen: Option<SocketAddr>,
    /// The URL that clients are given for this node.
    #[arg(long, env = "WEIR_ADVERTISE", value_name = "URL")]
    pub advertise: Option<String>,
    /// The address that peers are given for this node.
    #[arg(long, env = "WEIR_PEER_ADVERTISE", value_name = "HOST:PORT")]
    pub peer_advertise: Option<String>,
    /// A member to begin with, `1=host:9124,http://host:9123`; repeat, or separate by `;`.
    #[arg(long = "peer", env = "WEIR_PEERS", value_name = "MEMBER", value_delimiter = ';')]
    pub peers: Vec<Member>,
    /// Begin a new cluster of the peers when the data folder is fresh.
    #[arg(long, env = "WEIR_BOOTSTRAP")]
    pub bootstrap: bool,
    /// What is done about a damaged or lost data folder, with the help of the peers.
    #[arg(long, env = "WEIR_REPAIR", value_name = "MODE")]
    pub repair: Option<Repair>,
    /// NATS server URLs; repeat, or separate by `,`.
    #[arg(long, env = "WEIR_NATS", value_name = "URL", value_delimiter = ',')]
    pub nats: Vec<String>,
    /// A database outside that projections fold into, `NAME=postgresql://user:password@host:port/database`; repeat,
    /// or separate by `;`. Flags are seen by all users of the machine: better in the file or the variable.
    #[arg(
        long = "sink",
        env = "WEIR_SINKS",
        hide_env_values = true,
        value_name = "NAME=URL",
        value_delimiter = ';'
    )]
    pub sinks: Vec<SinkFlag>,
    /// Replicas of the JetStream stream.
    #[arg(long, env = "WEIR_NATS_REPLICAS", value_name = "N")]
    pub nats_replicas: Option<usize>,
    /// What JetStream's stream and subjects begin with, `weir` unless given;
    /// clusters that share a NATS account differ in it.
    #[arg(long, env = "WEIR_NATS_PREFIX", value_name = "NAME")]
    pub nats_prefix: Option<String>,
    /// How log lines are written.
    #[arg(long, env = "WEIR_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Which log lines are written.
    #[arg(long, env = "WEIR_LOG", value_name = "FILTER")]
    pub log_filter: Option<String>,
}

impl ConfigFlags {
    /// Reads the file, if one is named, and lays the flags over it.
    ///
    /// # Errors
    /// As [`NodeConfig::parse`], and [`ConfigError::Unreadable`].
    pub fn load(self) -> Result<NodeConfig, ConfigError> {
        let mut config = match &self.config {
            None => NodeConfig::default(),
            Some(path) => NodeConfig::parse(&read(path)?)?,
        };
        self.lay_over(&mut config);
        Ok(config)
    }

    fn lay_over(self, config: &mut NodeConfig) {
        fn set<T>(field: &mut T, flag: Option<T>) {
            if let Some(flag) = flag {
                *field = flag;
            }
        }
        fn fill<T>(field: &mut Option<T>, flag: Option<T>) {
            *field = flag.or(field.take());
        }
        fill(&mut config.node_id, self.node_id);
        fill(&mut config.cluster_id, self.cluster_id);
        fill(&mut config.advertise, self.advertise);
        fill(&mut config.peer_advertise, self.peer_advertise);
        set(&mut config.data_dir, self.data_dir);
        set(&mut config.listen, self.listen);
        set(&mut config.peer_listen, self.peer_listen);
        set(&mut config.peers, Some(self.peers).filter(|peers| !peers.is_empty()));
        set(&mut config.nats, Some(self.nats).filter(|urls| !urls.is_empty()));
        config.sinks.extend(self.sinks.into_iter().map(SinkFlag::into_entry));
        set(&mut config.cluster.nats_replicas, self.nats_replicas);
        set(&mut config.cluster.nats_prefix, self.nats_prefix);
        set(&mut config.repair, self.repair);
        set(&mut config.log_format, self.log_format);
        set(&mut config.log_filter, self.log_filter);
        config.bootstrap |= self.bootstrap;
    }
}

fn read(path: &std::path::Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), reason: error.to_string() })
}
