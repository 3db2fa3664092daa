use std::net::{SocketAddr, TcpListener};

use anyhow::bail;

use super::folder::DevNode;

/// Where the first node listens when nothing else is said.
const FIRST: ([u8; 4], u16) = ([127, 0, 0, 1], 9123);
/// Pairs of ports tried for one node before giving up.
const TRIES: u16 = 40;

/// Ports for `nodes` nodes: the usual ones, or the next pairs that are free.
/// An address that was asked for is taken or refused, never replaced.
pub fn choose(nodes: u64, asked: Option<SocketAddr>, step: u16) -> anyhow::Result<Vec<DevNode>> {
    let first = asked.unwrap_or(FIRST.into());
    let mut chosen = Vec::new();
    for id in 1..=nodes {
        let offset = u16::try_from(id - 1).ok().and_then(|id| id.checked_mul(step));
        let Some(wanted) = offset.and_then(|offset| first.port().checked_add(offset)) else {
            bail!("the ports of node {id} are past 65535: choose a lower --listen or --port-step");
        };
        chosen.push(pair(id, first, wanted, asked.is_some())?);
    }
    Ok(chosen)
}

fn pair(id: u64, first: SocketAddr, wanted: u16, exact: bool) -> anyhow::Result<DevNode> {
    let tries = if exact { 1 } else { TRIES };
    for attempt in 0..tries {
        let Some(port) = wanted.checked_add(attempt * 2).filter(|port| *port < u16::MAX) else { break };
        let (listen, peer_listen) =
            (SocketAddr::new(first.ip(), port), SocketAddr::new(first.ip(), port + 1));
        if free(listen) && free(peer_listen) {
            return Ok(DevNode { id, listen, peer_listen });
        }
    }
    bail!("ports {wanted} and {} of {} are in use: choose others with --listen", wanted + 1, first.ip())
}

fn free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// A free port of loopback, `wanted` if it is free.
pub fn loopback(wanted: u16) -> anyhow::Result<u16> {
    let listener =
        TcpListener::bind(("127.0.0.1", wanted)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    Ok(listener.local_addr()?.port())
}
