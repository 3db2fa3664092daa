use weir_api::{
    ApiError, ErrorCode,
    connect::{
        PollProjectionRequest, PollProjectionResponse, RegisterProjectionRequest, SaveProjectionRequest,
        WebhookBody,
    },
};
use weir_types::{Consistency, PartitionKey, ProjectionName};

use super::{Desk, StateTold};
use crate::{
    folds::{MOVED, SENT, WORKED},
    hook::URL,
    plant::Plant,
};

/// How long a worker has the projection to itself.
pub const LEASE_MS: u64 = weir_types::limits::WORKER_LEASE_MS_MIN;

/// What workers fold is handed out where the node leads alone, as it is with groups.
impl Desk {
    pub(super) async fn register_worked(&self) -> Result<(), ApiError> {
        let asked = RegisterProjectionRequest {
            name: WORKED.to_owned(),
            events: vec![MOVED.to_owned()],
            partition_key: "$.entityId".to_owned(),
            lease_ms: Some(LEASE_MS),
            deliveries_max: Some(1_000),
            ..RegisterProjectionRequest::default()
        };
        self.engine.workers().register(&asked).await.map(drop)
    }

    pub(super) async fn register_sent(&self) -> Result<(), ApiError> {
        let asked = RegisterProjectionRequest {
            name: SENT.to_owned(),
            events: vec![MOVED.to_owned()],
            mode: "external".to_owned(),
            webhook: Some(WebhookBody { url: URL.to_owned(), ..WebhookBody::default() }),
            lease_ms: Some(LEASE_MS),
            deliveries_max: Some(1_000),
            ..RegisterProjectionRequest::default()
        };
        self.engine.workers().register(&asked).await.map(drop)
    }

    pub(super) async fn hand_out(&self, worker: String) -> Result<PollProjectionResponse, ApiError> {
        let asked = PollProjectionRequest {
            name: WORKED.to_owned(),
            batch_size: 20,
            worker_id: worker,
            wait_ms: Some(0),
        };
        let mut polled = self.engine.workers().poll(&asked).await?;
        if self.plant == Some(Plant::WorkedStateLost) {
            polled.current_state = None;
        }
        Ok(polled)
    }

    pub(super) async fn take_save(&self, asked: &SaveProjectionRequest) -> Result<(), ApiError> {
        match self.engine.workers().save(asked).await {
            Err(error) if error.code == ErrorCode::LeaseLost && self.plant == Some(Plant::LateSaveTold) => {
                Ok(())
            }
            saved => saved,
        }
    }

    /// What workers saved of a partition, and up to where all is saved.
    pub(super) async fn worked(&self, partition: &str) -> Result<StateTold, ApiError> {
        let (name, partition) = (ProjectionName::new(WORKED)?, PartitionKey::new(partition)?);
        let (_, view) = self.engine.view_envelope(&name, &partition, Consistency::Local).await?;
        let view = serde_json::to_value(&view).unwrap_or_default();
        let checkpoint = view["checkpoint"].as_u64().unwrap_or_default();
        Ok(StateTold { version: checkpoint, value: view["state"]["state"].clone() })
    }
}
