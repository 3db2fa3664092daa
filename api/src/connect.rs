//! The Connect services `ironflow.v1.EntityStreamService`, `ProjectionService`, `EventSchemaService` and `PubSubService`,
//! JSON only: canonical
//! protobuf JSON, written by hand. Requests are taken in both cases, 64-bit
//! numbers as numbers or strings, missing and null fields as their defaults,
//! unknown fields are passed over. Answers are in camel case, 64-bit numbers
//! are strings, and what has its default is left out.

mod append;
mod envelope;
mod event;
mod groups;
mod history;
mod info;
mod list;
mod projections;
mod proto_json;
mod read;
mod schema;
mod snapshot;
mod subscribe;
mod worker;

pub use append::{AppendEventRequest, AppendEventResponse};
pub use envelope::Envelopes;
pub use event::StreamEvent;
pub use groups::{
    ConsumerGroupAnswer, ConsumerGroupMessage, ConsumerGroupRequest, FieldMask, JoinConsumerGroupRequest,
    ListConsumerGroupsResponse, SubscriptionAck,
};
pub use history::{EntityHistoryEntry, EntityHistoryInfo, GetEntityHistoryRequest, GetEntityHistoryResponse};
pub use info::{GetStreamInfoRequest, GetStreamInfoResponse};
pub use list::{ListStreamsRequest, ListStreamsResponse};
pub use projections::{
    GetProjectionRequest, GetProjectionResponse, GetProjectionStatusRequest, GetProjectionStatusResponse,
    ListProjectionsRequest, ListProjectionsResponse, WaitCatchupBatchRequest, WaitCatchupBatchResponse,
    WaitCatchupRequest, WaitCatchupResponse, WaitForEventRequest, WaitFrame, WaitFrameKind,
};
pub use read::{ReadStreamRequest, ReadStreamResponse};
pub use schema::{
    AppliedStep, GetSchemaResponse, ListSchemasRequest, ListSchemasResponse, NamedSchemaRequest,
    RegisterSchemaRequest, RegisterSchemaResponse, SchemaInfo, TestUpcastRequest, TestUpcastResponse,
};
pub use snapshot::{CreateSnapshotRequest, CreateSnapshotResponse, GetSnapshotRequest, GetSnapshotResponse};
pub use subscribe::{PubSubOptions, PubSubSubscribe, SubscriptionEvent, WantedGroup, payload_of, topic_of};
pub use worker::{
    NamedProjectionRequest, OkResponse, PollProjectionRequest, PollProjectionResponse, ProjectionEvent,
    RebuildProjectionRequest, RegisterProjectionRequest, RegisterProjectionResponse, SaveProjectionRequest,
    SubjectBody, WebhookBody,
};

/// The paths of the methods, after [`crate::v1::paths::CONNECT_STREAMS`].
pub mod method {
    /// Appends one event.
    pub const APPEND_EVENT: &str = "AppendEvent";
    /// Reads events.
    pub const READ_STREAM: &str = "ReadStream";
    /// Says what is known of a stream.
    pub const GET_STREAM_INFO: &str = "GetStreamInfo";
    /// Lists streams.
    pub const LIST_STREAMS: &str = "ListStreams";
    /// Reads events with what ran because of them.
    pub const GET_ENTITY_HISTORY: &str = "GetEntityHistory";
}
