//! The calls of `ironflow.v1.PubSubService` for consumer groups, in the Connect protocol with JSON. The leader answers
//! them: another node passes them on.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use serde_json::{Map, Value};
use weir_api::{
    ApiError, ErrorCode,
    connect::{ConsumerGroupAnswer, ConsumerGroupRequest, ListConsumerGroupsResponse},
};

use super::{check_type, json, refuse};
use crate::{
    engine::Engine,
    http::{to_leader::unless_leading, waits::body_of},
};

/// What this answers.
const METHODS: &[&str] = &[
    "CreateConsumerGroup",
    "GetConsumerGroup",
    "ListConsumerGroups",
    "UpdateConsumerGroup",
    "DeleteConsumerGroup",
];

/// Whether a method of the service is a call for groups.
pub(crate) fn is_served(method: &str) -> bool {
    METHODS.contains(&method)
}

/// Answers a method that [`is_served`].
pub(crate) async fn call(engine: &Arc<Engine>, method: &str, request: Request) -> Response {
    answer(engine, method, request).await.unwrap_or_else(|error| refuse(method, &error))
}

async fn answer(engine: &Engine, method: &str, request: Request) -> Result<Response, ApiError> {
    check_type(&request)?;
    engine.must_be_in_cluster()?;
    let request = match unless_leading(engine, request).await? {
        Ok(request) => request,
        Err(answer) => return Ok(answer),
    };
    let (asked, consumers) = (body_of::<ConsumerGroupRequest>(request).await?, engine.consumers());
    match method {
        "CreateConsumerGroup" => json(ConsumerGroupAnswer::from(&consumers.create(&asked.to_body()?).await?)),
        "GetConsumerGroup" => json(ConsumerGroupAnswer::from(&consumers.show(&asked.to_name()?).await?.0)),
        "ListConsumerGroups" => {
            asked.check_namespace()?;
            json(ListConsumerGroupsResponse::from(consumers.groups().await?.as_slice()))
        }
        "UpdateConsumerGroup" => {
            let (name, change) = asked.to_change()?;
            let changed = consumers.change(&name, |group| change.apply(group)).await?;
            json(ConsumerGroupAnswer::from(&changed))
        }
        "DeleteConsumerGroup" => {
            consumers.delete(&asked.to_name()?).await?;
            json(Map::<String, Value>::new())
        }
        _ => Err(ApiError::new(ErrorCode::Unimplemented, "method is not served here")),
    }
}
