//! The links of this node, one per peer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use weir_types::{GroupId, LogIndex, NodeId};

use crate::{
    admission::Admissions,
    network::{
        connection::LinkError,
        frame::Kind,
        link::{Link, Myself},
        message,
    },
};

/// All links. Cheap to share.
pub(crate) struct Links {
    myself: Myself,
    admissions: Arc<Admissions>,
    links: Mutex<HashMap<NodeId, Arc<Link>>>,
}

impl Links {
    pub(crate) fn new(myself: Myself, admissions: Arc<Admissions>) -> Self {
        Self { myself, admissions, links: Mutex::default() }
    }

    /// This node, to its peers.
    pub(crate) fn myself(&self) -> &Myself {
        &self.myself
    }

    /// The link to a peer, made on first use. A new address replaces the old.
    pub(crate) fn to(&self, target: NodeId, address: &str) -> Arc<Link> {
        let mut links = self.links();
        let link = links
            .entry(target)
            .or_insert_with(|| {
                Arc::new(Link::start(
                    self.myself.clone(),
                    self.admissions.clone(),
                    target,
                    address.to_owned(),
                ))
            })
            .clone();
        link.readdress(address);
        link
    }

    /// Ends the links to nodes that are no longer members.
    pub(crate) fn retain(&self, is_member: impl Fn(NodeId) -> bool) {
        self.links().retain(|node, _| is_member(*node));
    }

    /// Ends all links.
    pub(crate) fn close(&self) {
        self.links().clear();
    }

    /// Asks a peer one thing and waits for the answer's body.
    ///
    /// # Errors
    /// [`LinkError`]; only `NotConnected` and `Refused` say that nothing was done.
    pub(crate) async fn ask(
        &self,
        (target, address): (NodeId, &str),
        (kind, group): (Kind, GroupId),
        body: Bytes,
        wait_max: Duration,
    ) -> Result<Bytes, LinkError> {
        let connection = self.to(target, address).connection(wait_max).await?;
        connection.ask(kind, group, 0, vec![body]).await?.answer(wait_max).await
    }

    /// Asks the leader up to where a read that begins now must have applied.
    ///
    /// # Errors
    /// [`LinkError`]; `Refused` when the peer does not lead or cannot confirm that it does.
    pub(crate) async fn read_index(
        &self,
        leader: (NodeId, &str),
        group: GroupId,
        wait_max: Duration,
    ) -> Result<LogIndex, LinkError> {
        let body = self.ask(leader, (Kind::ReadIndex, group), Bytes::new(), wait_max).await?;
        Ok(message::decode_read_index(body)?)
    }

    fn links(&self) -> MutexGuard<'_, HashMap<NodeId, Arc<Link>>> {
        self.links.lock().expect("nothing panics while it holds this lock")
    }
}
