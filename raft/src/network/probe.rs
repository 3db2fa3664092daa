//! Asks a node who it is, and nothing else.

use std::time::Duration;

use tokio::time::timeout;
use weir_types::NodeId;

use crate::network::{
    connection::{ConnectError, greet},
    hello::Hello,
    link::Myself,
    socket::PeerSocket,
};

/// The hello of the node at an address.
///
/// # Errors
/// [`ConnectError`].
pub(crate) async fn probe(
    myself: &Myself,
    (target, address): (NodeId, &str),
    wait_max: Duration,
) -> Result<Hello, ConnectError> {
    let met = async {
        let PeerSocket { mut read, mut write, .. } = myself.dialer.dial(address).await?;
        greet(&mut read, &mut write, &myself.hello(target, None)).await
    };
    timeout(wait_max, met).await.map_err(|_| ConnectError::Silent)?
}
