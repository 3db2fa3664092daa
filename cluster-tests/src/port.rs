//! Free ports on loopback.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// This many ports that nobody listened on just now. All are held open until
/// the last is found, so that they differ.
///
/// # Errors
/// When the system has none.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<Vec<_>, _>>()
        .context("cannot bind a port of loopback")?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
