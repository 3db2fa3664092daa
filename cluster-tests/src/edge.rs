//! One node's REST, spoken raw: the harness must be able to send what a
//! well-behaved client cannot, and to ask one node and no other.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use weir_api::{
    ApiError, ErrorBody,
    v1::{
        AppendResult, ClusterStatus, LogPage, OutboxStatus, ProjectionList, ProjectionStatus, ReadPage, paths,
    },
};

use crate::replica::{Replica, StoredEvent};

/// How long one call may take before the harness gives it up.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body as JSON; null when it is none.
    pub body: Value,
}

impl Answer {
    /// The error code in the body, or nothing.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The node refused, and said why.
    #[error("{status} {}: {}", error.code, error.message)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error.
        error: ApiError,
    },
    /// No answer came; whether the call was carried out is not known.
    #[error("no answer: {0:#}")]
    Silent(anyhow::Error),
}

/// The REST of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Edge {
    base: String,
    http: Client,
}

impl Edge {
    /// The REST at this base URL.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let http = Client::builder().timeout(CALL_TIMEOUT).build();
        Self { base: base.to_owned(), http: http.expect("a client without TLS has nothing to fail at") }
    }

    /// Its base URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a body as it is.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn send(&self, method: Method, path: &str, body: Option<(&str, Vec<u8>)>) -> Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some((content_type, bytes)) = body {
            request = request.header("content-type", content_type).body(bytes);
        }
        let response = request.send().await.with_context(|| format!("{path} on {}", self.base))?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.with_context(|| format!("{path} on {}", self.base))?;
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    /// GETs JSON.
    ///
    /// # Errors
    /// When no answer comes or it is an error.
    pub async fn get(&self, path: &str) -> Result<Value, CallError> {
        accepted(self.send(Method::GET, path, None).await)
    }

    /// POSTs JSON.
    ///
    /// # Errors
    /// When no answer comes or it is an error.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        let body = ("application/json", body.to_string().into_bytes());
        accepted(self.send(Method::POST, path, Some(body)).await)
    }

    /// Appends to a stream; `body` is the whole request.
    ///
    /// # Errors
    /// When no answer comes or it is a refusal.
    pub async fn append(&self, entity_id: &str, body: &Value) -> Result<AppendResult, CallError> {
        let answer = self.post(&paths::fill(paths::STREAM_EVENTS, entity_id), body).await?;
        serde_json::from_value(answer).map_err(|error| CallError::Silent(error.into()))
    }

    /// Reads one page of a stream; `query` begins after the `?`.
    ///
    /// # Errors
    /// When no answer comes or it is a refusal.
    pub async fn read(&self, entity_id: &str, query: &str) -> Result<ReadPage, CallError> {
        let path = format!("{}?{query}", paths::fill(paths::STREAM_EVENTS, entity_id));
        let answer = self.get(&path).await?;
        serde_json::from_value(answer).map_err(|error| CallError::Silent(error.into()))
    }

    /// The cluster as the node sees it.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn status(&self) -> Result<ClusterStatus> {
        Ok(serde_json::from_value(self.get(paths::CLUSTER).await?)?)
    }

    /// The digest of all that the node has applied, with the index of it.
    ///
    /// # Errors
    /// When no answer comes, or it carries no digest.
    pub async fn digest(&self) -> Result<(u64, String)> {
        digest_of(&self.get(paths::CLUSTER).await?)
    }

    /// Succeeds when the node says that it can serve.
    ///
    /// # Errors
    /// With what it lacks.
    pub async fn ready(&self) -> Result<()> {
        let answer = self.send(Method::GET, paths::READYZ, None).await?;
        ensure!(answer.status == 200, "readyz: {} {}", answer.status, answer.body);
        Ok(())
    }

    /// The value of one of the node's metrics, by its name with its labels; none when there is no such series.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn metric(&self, series: &str) -> Result<Option<f64>> {
        let text = self.http.get(format!("{}{}", self.base, paths::METRICS)).send().await?.text().await?;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map(|value| value.parse().with_context(|| format!("{series} is {value}"))).transpose()
    }

    /// All that the node has applied.
    ///
    /// # Errors
    /// When no answer comes, or it makes no progress.
    pub async fn replica(&self, node: u64) -> Result<Replica> {
        let (mut events, mut from) = (Vec::new(), 1);
        loop {
            let page = self.get(&format!("{}?from_position={from}&limit=2000", paths::LOG)).await?;
            let page: LogPage = serde_json::from_value(page)?;
            if page.events.is_empty() {
                return Ok(Replica { node, events });
            }
            ensure!(page.next_position > from, "log page from {from} goes on at {}", page.next_position);
            from = page.next_position;
            for event in page.events {
                events.push(StoredEvent::of(event)?);
            }
        }
    }

    /// Deploys a projection and returns its name.
    ///
    /// # Errors
    /// When no answer comes or it is a refusal.
    pub async fn deploy(&self, source: &str) -> Result<String> {
        let answer = self.post(paths::PROJECTIONS, &json!({ "source": source })).await?;
        Ok(answer["name"].as_str().context("deploy answered no name")?.to_owned())
    }

    /// How far a projection is on this node.
    ///
    /// # Errors
    /// When no answer comes or it is a refusal.
    pub async fn projection(&self, name: &str) -> Result<ProjectionStatus> {
        Ok(serde_json::from_value(self.get(&paths::fill(paths::PROJECTION_STATUS, name)).await?)?)
    }

    /// The projections that nodes fold into states, as this one sees them; not those that are left to workers, that have
    /// tables, or that nobody folds along the log.
    ///
    /// # Errors
    /// When no answer comes or it is a refusal.
    pub async fn projections(&self) -> Result<Vec<ProjectionStatus>> {
        let list: ProjectionList = serde_json::from_value(self.get(paths::PROJECTIONS).await?)?;
        let has_states =
            |one: &ProjectionStatus| one.worker.is_none() && matches!(&*one.kind, "async" | "inline");
        Ok(list.projections.into_iter().filter(has_states).collect())
    }

    /// One partition of a projection; `query` begins after the `?`.
    ///
    /// # Errors
    /// When no answer comes or it is a refusal.
    pub async fn view(&self, name: &str, query: &str) -> Result<Value, CallError> {
        self.get(&format!("{}?{query}", paths::fill(paths::PROJECTION, name))).await
    }

    /// How far the outbox is.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn outbox(&self) -> Result<OutboxStatus> {
        Ok(serde_json::from_value(self.get(paths::OUTBOX).await?)?)
    }
}

/// A query's value, percent-encoded.
#[must_use]
pub fn encoded(text: &str) -> String {
    paths::fill("{}", text)
}

fn digest_of(status: &Value) -> Result<(u64, String)> {
    let index = status["appliedIndex"].as_u64().context("status carries no applied index")?;
    let digest = status["appliedDigest"].as_str().filter(|digest| !digest.is_empty());
    Ok((index, digest.context("status carries no applied digest")?.to_owned()))
}

fn accepted(answer: Result<Answer>) -> Result<Value, CallError> {
    let answer = answer.map_err(CallError::Silent)?;
    if answer.status < 300 {
        return Ok(answer.body);
    }
    let body: ErrorBody = serde_json::from_value(answer.body).unwrap_or_else(|_| ErrorBody {
        error: String::new(),
        message: "answer has no error body".to_owned(),
        code: String::new(),
        details: serde_json::Map::new(),
    });
    Err(CallError::Refused { status: answer.status, error: body.into_error(answer.status) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_tells_no_digest_fails_the_audit() {
        let told = digest_of(&json!({ "appliedIndex": 7, "appliedDigest": "0a" }));
        assert_eq!(told.expect("both are there"), (7, "0a".to_owned()));
        for status in [
            json!({ "appliedIndex": 7 }),
            json!({ "appliedIndex": 7, "appliedDigest": null }),
            json!({ "appliedIndex": 7, "appliedDigest": "" }),
            json!({ "appliedDigest": "0a" }),
        ] {
            assert!(digest_of(&status).is_err(), "{status}");
        }
    }
}
