//! Which processes of this machine are the nodes: those that listen where the
//! cluster says that its nodes do.

use std::{collections::HashMap, fs};

use weir_client::Client;

use super::cpu::Process;

/// In `/proc/net/tcp`, the state of a socket that listens.
const LISTENS: &str = "0A";

/// The nodes on loopback, by the cluster's own list; none where there is no `/proc`.
pub(super) async fn nodes(client: &Client) -> Vec<Process> {
    let Ok(cluster) = client.cluster().await else { return Vec::new() };
    let local = cluster.members.iter().filter_map(|member| Some((member.node_id, port_of(&member.url)?)));
    let sockets: HashMap<String, u64> =
        local.filter_map(|(node, port)| Some((format!("socket:[{}]", inode_of(port)?), node))).collect();
    let mut nodes = Vec::new();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let targets = files.filter_map(|file| fs::read_link(file.path()).ok()?.to_str().map(str::to_owned));
        if let Some(node) = targets.filter_map(|target| sockets.get(&target)).next() {
            nodes.push(Process { name: format!("node {node}"), pid });
        }
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes
}

/// The port of a URL whose host is this machine's loopback.
fn port_of(url: &str) -> Option<u16> {
    let rest = url.strip_prefix("http://")?;
    let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
    let loopback = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    loopback.then(|| port.parse().ok()).flatten()
}

fn inode_of(port: u16) -> Option<u64> {
    let table = |path: &str| fs::read_to_string(path).unwrap_or_default();
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|path| listener(&table(path), port))
}

fn listener(table: &str, port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let listens = fields.get(3) == Some(&LISTENS) && u16::from_str_radix(local, 16) == Ok(port);
        listens.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_elsewhere_is_no_process_of_ours() {
        assert_eq!(port_of("http://127.0.0.1:9123"), Some(9123));
        assert_eq!(port_of("http://localhost:9123/"), Some(9123));
        for elsewhere in ["http://10.0.0.1:9123", "https://127.0.0.1:9123", "http://127.0.0.1"] {
            assert_eq!(port_of(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn the_one_that_listens_is_found_among_those_that_are_connected() {
        let table =
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:23A3 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 11 1
   1: 0100007F:23A3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1";
        assert_eq!(listener(table, 9123), Some(12));
        assert_eq!(listener(table, 9124), None);
    }
}
