use reqwest::Method;
use serde::de::IgnoredAny;
use weir_api::v1::{
    Capabilities, ClusterStatus, InitBody, Limits, MemberBody, OutboxStatus, TransferBody, paths,
};

use crate::{Client, ClientError, client::Call, retry::Repeat};

impl Client {
    /// The cluster as the answering node sees it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cluster(&self) -> Result<ClusterStatus, ClientError> {
        self.call(Call::new(Method::GET, paths::CLUSTER, Repeat::Harmless)).await
    }

    /// Makes a cluster. Sent once, to the first node that was named.
    ///
    /// # Errors
    /// [`ClientError`]; `already_initialized`.
    pub async fn init_cluster(&self, body: &InitBody) -> Result<(), ClientError> {
        self.change(Method::POST, paths::CLUSTER_INIT, body, Repeat::Never).await
    }

    /// Adds a member and waits until it has caught up.
    ///
    /// # Errors
    /// [`ClientError`]; `membership_conflict`.
    pub async fn add_member(&self, body: &MemberBody) -> Result<(), ClientError> {
        self.change(Method::POST, paths::CLUSTER_MEMBERS, body, Repeat::OnlyIfNothingHappened).await
    }

    /// Removes a member.
    ///
    /// # Errors
    /// [`ClientError`]; `membership_conflict`.
    pub async fn remove_member(&self, node_id: u64) -> Result<(), ClientError> {
        let path = paths::fill(paths::CLUSTER_MEMBER, &node_id.to_string());
        let call = Call::new(Method::DELETE, &path, Repeat::OnlyIfNothingHappened);
        self.call::<_, _, IgnoredAny>(call).await.map(|_| ())
    }

    /// Hands leadership over to a voter.
    ///
    /// # Errors
    /// [`ClientError`]; `membership_conflict`.
    pub async fn transfer_leadership(&self, to: u64) -> Result<(), ClientError> {
        let body = TransferBody { to };
        self.change(Method::POST, paths::CLUSTER_TRANSFER, &body, Repeat::OnlyIfNothingHappened).await
    }

    /// How far the outbox is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn outbox(&self) -> Result<OutboxStatus, ClientError> {
        self.call(Call::new(Method::GET, paths::OUTBOX, Repeat::Harmless)).await
    }

    /// Throws JetStream's copy away and publishes everything again.
    ///
    /// # Errors
    /// [`ClientError`]; `bus_unavailable`.
    pub async fn rebuild_outbox(&self) -> Result<(), ClientError> {
        self.change(Method::POST, paths::OUTBOX_REBUILD, &serde_json::json!({}), Repeat::Harmless).await
    }

    /// What the server can do.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn capabilities(&self) -> Result<Capabilities, ClientError> {
        self.call(Call::new(Method::GET, paths::CAPABILITIES, Repeat::Harmless)).await
    }

    /// The limits that the server keeps.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn limits(&self) -> Result<Limits, ClientError> {
        self.call(Call::new(Method::GET, paths::LIMITS, Repeat::Harmless)).await
    }

    async fn change<B: serde::Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: &B,
        repeat: Repeat,
    ) -> Result<(), ClientError> {
        let call = Call::new(method, path, repeat).body(body);
        self.call::<_, _, IgnoredAny>(call).await.map(|_| ())
    }
}
