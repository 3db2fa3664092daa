//! What a config may say, and how each mistake is named.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use weir_node::config::{ConfigError, ConfigFlags, NodeConfig};

fn check(text: &str) -> Result<(), ConfigError> {
    NodeConfig::parse(text)?.check().map(drop)
}

#[test]
fn every_mistake_has_its_code_and_names_the_field() {
    for (text, code, part) in [
        ("", "config_version", "no `version` key"),
        ("version = 2", "config_version", "`version = 2`"),
        ("version = \"1\"", "config_version", "version = \"1\""),
        ("version = 1\nlistn = \"127.0.0.1:1\"", "config_unknown_field", "listn"),
        ("version = 1\n[limits]\nconections = 3", "config_unknown_field", "conections"),
        ("version = 1\n[cluster]\nheartbeat = 3", "config_unknown_field", "heartbeat"),
        ("version = 1\nlisten = \"nowhere\"", "config_value", "listen"),
        ("version = 1\nlisten = \"127.0.0.1:99999\"", "config_value", "listen"),
        ("version = 1\nnode_id = -1", "config_value", "node_id"),
        ("version = 1\nnode_id = 0", "config_value", "node_id"),
        ("version = 1\ncluster_id = \"x\"", "config_value", "cluster_id"),
        ("version = 1\npeers = [\"1=a\"]", "config_value", "no `,`"),
        ("version = 1\nlisten = ", "config_syntax", "TOML"),
        ("version = 1", "config_missing_field", "node_id"),
        ("version = 1\nnode_id = 1\nlisten = \"0.0.0.0:9123\"", "config_missing_field", "advertise"),
        ("version = 1\nnode_id = 1\nadvertise = \"localhost:9123\"", "config_value", "advertise"),
        ("version = 1\nnode_id = 1\npeer_advertise = \"http://a:1\"", "config_value", "peer_advertise"),
        ("version = 1\nnode_id = 1\nnats = [\"nats://\"]", "config_value", "nats"),
        (
            "version = 1\nnode_id = 1\nbootstrap = true\npeers = [\"2=a:1,http://a:2\"]",
            "config_value",
            "do not hold this node",
        ),
        (
            "version = 1\nnode_id = 1\nbootstrap = true\npeers = [\"1=b:1,http://b:2\", \"2=a:1,http://a:2\"]",
            "config_missing_field",
            "cluster_id",
        ),
        (
            "version = 1\nnode_id = 1\npeers = [\"2=b:1,http://b:2\", \"2=a:1,http://a:2\"]",
            "config_value",
            "2 twice",
        ),
        ("version = 1\nnode_id = 1\n[limits]\nconnections = 0", "config_value", "limits.connections"),
        ("version = 1\nnode_id = 1\n[limits]\nin_flight_bytes = 1", "config_value", "limits.in_flight_bytes"),
        ("version = 1\nnode_id = 1\n[cluster]\nheartbeat_ms = 0", "config_value", "cluster.heartbeat_ms"),
        (
            "version = 1\nnode_id = 1\n[cluster]\nelection_timeout_min_ms = 100",
            "config_value",
            "cluster.election_timeout_min_ms",
        ),
        ("version = 1\nnode_id = 1\n[cluster]\nnats_replicas = 2", "config_value", "cluster.nats_replicas"),
        ("version = 1\nnode_id = 1\n[cluster]\nnats_prefix = \"a.b\"", "config_value", "cluster.nats_prefix"),
        (
            "version = 1\nnode_id = 1\n[cluster]\nnats_prefix = \"Shop\"",
            "config_value",
            "cluster.nats_prefix",
        ),
        ("version = 1\nnode_id = 1\n[cluster]\nnats_prefix = \"\"", "config_value", "cluster.nats_prefix"),
    ] {
        let error = check(text).expect_err(text);
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn a_config_that_is_dumped_reads_back_the_same() {
    let text = "version = 1\nnode_id = 3\ncluster_id = \"6a6b4f3e-0000-4000-8000-000000000001\"\n\
                peers = [\"3=a:1,http://a:2\", \"4=b:1,http://b:2\"]\nnats = [\"nats://n:4222\"]\n\
                [limits]\nconnections = 7\n[cluster]\nnats_replicas = 3\n";
    let config = NodeConfig::parse(text).unwrap();
    assert_eq!(NodeConfig::parse(&config.dump()).unwrap(), config);
    assert_eq!(config.limits.connections, 7);
    assert_eq!(config.limits.request_timeout_ms, NodeConfig::default().limits.request_timeout_ms);
}

#[test]
fn addresses_of_the_node_come_from_flags_then_the_list_then_the_listeners() {
    let listed = "version = 1\nnode_id = 1\npeers = [\"1=a:1,http://a:2/\", \"2=b:1,http://b:2\"]";
    let plan = NodeConfig::parse(listed).unwrap().check().unwrap();
    assert_eq!(plan.own.to_string(), "1=a:1,http://a:2");
    assert_eq!(plan.members.len(), 2);
    let mut config = NodeConfig::parse(listed).unwrap();
    config.advertise = Some("http://c:3".to_owned());
    assert_eq!(config.check().unwrap().own.to_string(), "1=a:1,http://c:3");
    let alone = NodeConfig::parse("version = 1\nnode_id = 1").unwrap().check().unwrap();
    assert_eq!(alone.own.to_string(), "1=127.0.0.1:9124,http://127.0.0.1:9123");
}

#[test]
fn a_cluster_id_comes_from_the_config_or_the_folder_or_a_cluster_of_one() {
    let plan = |text: &str| NodeConfig::parse(text).unwrap().check().unwrap();
    assert!(plan("version = 1\nnode_id = 1\nbootstrap = true").cluster_id(None).is_ok());
    assert!(matches!(plan("version = 1\nnode_id = 1").cluster_id(None), Err(ConfigError::Missing { .. })));
    let named = plan("version = 1\nnode_id = 1\ncluster_id = \"6a6b4f3e-0000-4000-8000-000000000001\"");
    let id = named.cluster_id(None).unwrap();
    assert_eq!(plan("version = 1\nnode_id = 1").cluster_id(Some(id)), Ok(id));
}

#[test]
fn flags_win_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, "version = 1\nnode_id = 1\ndata_dir = \"a\"\nbootstrap = true\n").unwrap();
    let flags = ConfigFlags { config: Some(file), node_id: Some(9), ..ConfigFlags::default() };
    let config = flags.load().unwrap();
    assert_eq!((config.node_id, config.data_dir.to_str(), config.bootstrap), (Some(9), Some("a"), true));
    let absent = ConfigFlags { config: Some(folder.path().join("none")), ..ConfigFlags::default() };
    assert_eq!(absent.load().unwrap_err().code(), "config_unreadable");
}
