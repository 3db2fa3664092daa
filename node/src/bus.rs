//! The bus: where events leave, and where projections follow them from.

use std::sync::Arc;

use weir_actors::jetstream::{Connection, JetStreamConfig, JetStreamFeed, JetStreamPublisher, Subjects};
use weir_types::{
    ClusterId,
    ports::{Feed, Publisher},
};

use crate::{config::NodePlan, node::StartError};

/// A node's way to the bus.
pub struct Bus {
    /// Where events leave.
    pub publisher: Arc<dyn Publisher>,
    /// Where projections follow them from.
    pub feed: Arc<dyn Feed>,
    /// Where effects go that are for NATS.
    pub subjects: Option<Subjects>,
}

impl Bus {
    /// JetStream, if a node is to have one. It need not be there yet.
    ///
    /// # Errors
    /// [`StartError`] when the servers cannot be what is configured.
    pub(crate) async fn open(plan: &NodePlan, cluster: ClusterId) -> Result<Option<Self>, StartError> {
        let Some(nats) = &plan.nats else { return Ok(None) };
        let config = JetStreamConfig {
            name: format!("weir-{}", plan.node),
            replicas: nats.replicas,
            prefix: nats.prefix.clone(),
            ..JetStreamConfig::to(cluster, nats.urls.clone())
        };
        let opened = Connection::open(&config).await;
        let connection = opened.map_err(|error| StartError::part("bus", &error))?;
        Ok(Some(Self {
            publisher: Arc::new(JetStreamPublisher::new(connection.clone())),
            // The bus knows a node by its seat, whose consumers it takes over with whatever folder.
            feed: Arc::new(JetStreamFeed::new(connection.clone(), plan.node)),
            subjects: Some(Subjects::new(connection)),
        }))
    }
}
