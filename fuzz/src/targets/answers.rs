//! What a client reads of a server that may be of any version, or no Weir at all.

use serde::de::DeserializeOwned;
use weir_api::{
    ErrorBody,
    v1::{
        AppendResult, ClusterStatus, HistoryPage, ListPage, LogPage, OutboxStatus, PartitionsPage,
        ProjectionList, ProjectionView, ReadPage,
    },
};

use super::PARSER;
use crate::Target;

pub(super) const ANSWERS: Target = Target {
    name: "answers",
    about: "the JSON of answers and errors, as the client reads it; the first byte is the status",
    run: answers,
    memory: PARSER,
    seeds: &[],
    slow_ms: 0,
};

fn answers(data: &[u8]) {
    let Some((status, body)) = data.split_first() else { return };
    if let Ok(result) = serde_json::from_slice::<AppendResult>(body)
        && let Ok(ack) = result.to_ack()
    {
        assert!(ack.last_position() >= ack.first_position);
    }
    if let Ok(error) = serde_json::from_slice::<ErrorBody>(body) {
        let error = error.into_error(300 + u16::from(*status));
        assert!((400..600).contains(&error.status()));
    }
    readable::<ReadPage>(body);
    readable::<HistoryPage>(body);
    readable::<ListPage>(body);
    readable::<LogPage>(body);
    readable::<ClusterStatus>(body);
    readable::<OutboxStatus>(body);
    readable::<ProjectionList>(body);
    readable::<ProjectionView>(body);
    readable::<PartitionsPage>(body);
}

/// Whether it is one matters to nobody; that reading it ends does.
fn readable<T: DeserializeOwned>(body: &[u8]) {
    let _ = serde_json::from_slice::<T>(body);
}
