use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use uuid::Uuid;
use weir_types::{ClusterId, NodeId, SinkName, limits};

use super::{ClusterConfig, ConfigError, LimitsConfig, Member, NodeConfig, Repair, member, sink::sinks};

/// A config that passed every check: what the node is built from.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// This node.
    pub node: NodeId,
    /// The cluster, if the config names it.
    pub cluster: Option<ClusterId>,
    /// The data folder.
    pub data_dir: PathBuf,
    /// Where clients are answered.
    pub listen: SocketAddr,
    /// Where peers are answered.
    pub peer_listen: SocketAddr,
    /// How others reach this node.
    pub own: Member,
    /// The members that a new cluster begins with, this node among them.
    pub members: Vec<Member>,
    /// Whether to begin a new cluster when the data folder is fresh.
    pub bootstrap: bool,
    /// What is done about a damaged or lost folder.
    pub repair: Repair,
    /// The bus, if any.
    pub nats: Option<Nats>,
    /// The databases outside that projections fold into.
    pub sinks: BTreeMap<SinkName, tokio_postgres::Config>,
    /// Bounds of this node.
    pub limits: LimitsConfig,
    /// What must be equal on all nodes.
    pub shared: ClusterConfig,
}

/// Where the bus is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nats {
    /// Server URLs, at least one.
    pub urls: Vec<String>,
    /// Replicas of the JetStream stream.
    pub replicas: usize,
    /// What stream and subjects begin with.
    pub prefix: String,
}

impl NodeConfig {
    /// Checks what the fields mean together. Touches no file and no port.
    ///
    /// # Errors
    /// [`ConfigError`] naming the field.
    pub fn check(self) -> Result<NodePlan, ConfigError> {
        let node = match self.node_id {
            Some(0) => return Err(refuse("node_id", "is 0; ids begin at 1")),
            Some(id) if NodeId(id) > NodeId::CONFIGURED_MAX => {
                return Err(refuse("node_id", "is over 999,999; higher ids are given by the cluster"));
            }
            Some(id) => NodeId(id),
            None => {
                return Err(ConfigError::Missing {
                    field: "node_id",
                    reason: "every node has an id of its own",
                });
            }
        };
        check_shared(&self.cluster)?;
        check_limits(&self.limits)?;
        check_nats(&self.nats)?;
        let sinks = sinks(&self.sinks)?;
        let own = own_address(&self, node)?;
        let members = members(self.peers, own.clone())?;
        let alone = members.len() == 1;
        if self.bootstrap && !alone && self.cluster_id.is_none() {
            let reason = "a cluster of several nodes is begun with one id that all of them are given";
            return Err(ConfigError::Missing { field: "cluster_id", reason });
        }
        if self.cluster_id.is_some_and(|id| id.is_nil()) {
            return Err(refuse("cluster_id", "is the nil UUID"));
        }
        let (replicas, prefix) = (self.cluster.nats_replicas, self.cluster.nats_prefix.clone());
        Ok(NodePlan {
            node,
            cluster: self.cluster_id.map(ClusterId),
            data_dir: self.data_dir,
            listen: self.listen,
            peer_listen: self.peer_listen,
            own,
            members,
            bootstrap: self.bootstrap,
            repair: self.repair,
            nats: (!self.nats.is_empty()).then_some(Nats { urls: self.nats, replicas, prefix }),
            sinks,
            limits: self.limits,
            shared: self.cluster,
        })
    }
}

impl NodePlan {
    /// How long an append or a read waits for a leader.
    #[must_use]
    pub fn leader_wait(&self) -> Duration {
        Duration::from_millis(self.limits.leader_wait_ms)
    }

    /// Where the other members of the config are, `host:port` each.
    pub(crate) fn other_peers(&self) -> impl Iterator<Item = &str> {
        let others = self.members.iter().filter(|member| member.node != self.node);
        others.map(|member| member.peer.as_str())
    }

    /// The cluster's id: the config's, else the data folder's, else a new one for a cluster of one.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] when none of them has it.
    pub fn cluster_id(&self, folder: Option<ClusterId>) -> Result<ClusterId, ConfigError> {
        match self.cluster.or(folder) {
            Some(id) => Ok(id),
            None if self.bootstrap && self.members.len() == 1 => Ok(ClusterId(Uuid::new_v4())),
            None => {
                let reason = "the data folder is fresh and belongs to no cluster yet";
                Err(ConfigError::Missing { field: "cluster_id", reason })
            }
        }
    }
}

pub(super) fn refuse(field: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Value { field, reason: reason.into() }
}

fn own_address(config: &NodeConfig, node: NodeId) -> Result<Member, ConfigError> {
    let listed = config.peers.iter().find(|peer| peer.node == node);
    if listed.is_none() && !config.peers.is_empty() && config.bootstrap {
        return Err(refuse("peers", format!("do not hold this node, which has the id {node}")));
    }
    let peer = config.peer_advertise.clone().or_else(|| listed.map(|member| member.peer.clone()));
    let edge = config.advertise.clone().or_else(|| listed.map(|member| member.edge.clone()));
    let peer = match peer {
        Some(peer) => peer,
        None => reachable("peer_advertise", config.peer_listen)?,
    };
    let edge = match edge {
        Some(edge) => edge.trim_end_matches('/').to_owned(),
        None => format!("http://{}", reachable("advertise", config.listen)?),
    };
    member::check_host_port(&peer).map_err(|reason| refuse("peer_advertise", reason))?;
    member::check_url(&edge).map_err(|reason| refuse("advertise", reason))?;
    Ok(Member { node, peer, edge })
}

/// The listening address, if others can use it as it is.
fn reachable(field: &'static str, listen: SocketAddr) -> Result<String, ConfigError> {
    if listen.ip().is_unspecified() {
        let reason = "the node listens on every address, so it must be told by which one others reach it";
        return Err(ConfigError::Missing { field, reason });
    }
    Ok(listen.to_string())
}

/// All members in order of their ids; this node's own addresses win over the list's.
fn members(peers: Vec<Member>, own: Member) -> Result<Vec<Member>, ConfigError> {
    let mut members: Vec<Member> = peers.into_iter().filter(|peer| peer.node != own.node).collect();
    members.push(own);
    members.sort_by_key(|member| member.node);
    for pair in members.windows(2) {
        if pair[0].node == pair[1].node {
            return Err(refuse("peers", format!("name the node {} twice", pair[0].node)));
        }
    }
    Ok(members)
}

fn check_shared(shared: &ClusterConfig) -> Result<(), ConfigError> {
    let ClusterConfig {
        heartbeat_ms,
        election_timeout_min_ms: min,
        election_timeout_max_ms: max,
        nats_replicas,
        ref nats_prefix,
    } = *shared;
    if !(10..=10_000).contains(&heartbeat_ms) {
        return Err(refuse("cluster.heartbeat_ms", "is not within 10 to 10,000"));
    }
    if min < heartbeat_ms * 2 || min > 60_000 {
        return Err(refuse("cluster.election_timeout_min_ms", "is not within two heartbeats to 60,000"));
    }
    if max <= min || max > 120_000 {
        return Err(refuse("cluster.election_timeout_max_ms", "is not over the least one and up to 120,000"));
    }
    if !matches!(nats_replicas, 1 | 3 | 5) {
        return Err(refuse("cluster.nats_replicas", "is not 1, 3 or 5"));
    }
    let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if !(1..=32).contains(&nats_prefix.len()) || !nats_prefix.bytes().all(legal) {
        return Err(refuse("cluster.nats_prefix", "is not 1 to 32 of a-z, 0-9, `-` and `_`"));
    }
    Ok(())
}

fn check_limits(bounds: &LimitsConfig) -> Result<(), ConfigError> {
    let within = |field, value: u64, least: u64, most: u64| match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(refuse(field, format!("is {value}, not within {least} to {most}"))),
    };
    within("limits.connections", bounds.connections as u64, 1, 1_000_000)?;
    within("limits.in_flight_appends", bounds.in_flight_appends as u64, 1, 1_000_000)?;
    let least = limits::APPEND_BYTES_MAX as u64;
    within("limits.in_flight_bytes", bounds.in_flight_bytes as u64, least, 1 << 40)?;
    within("limits.active_streams", bounds.active_streams as u64, 1, 100_000_000)?;
    within("limits.request_timeout_ms", bounds.request_timeout_ms, 100, 3_600_000)?;
    within("limits.leader_wait_ms", bounds.leader_wait_ms, 0, bounds.request_timeout_ms)?;
    within("limits.shutdown_ms", bounds.shutdown_ms, 0, 600_000)
}

fn check_nats(urls: &[String]) -> Result<(), ConfigError> {
    for url in urls {
        let rest = url.strip_prefix("nats://").unwrap_or(url);
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        member::check_host_port(host).map_err(|reason| refuse("nats", reason))?;
    }
    Ok(())
}
