use std::net::{SocketAddr, TcpListener};

use crate::eventually::eventually;
use reqwest::{Client, Method, StatusCode};
use tempfile::TempDir;
use weir_node::{
    config::NodeConfig,
    node::{self, RunningNode, StartError},
};

/// A node in this process, in a folder of its own.
pub struct Running {
    pub node: RunningNode,
    pub http: Client,
    pub folder: TempDir,
}

/// An answer: status and JSON.
pub type Answer = (StatusCode, serde_json::Value);

impl Running {
    pub async fn start() -> Self {
        Self::start_in(TempDir::new().unwrap()).await
    }

    pub async fn start_in(folder: TempDir) -> Self {
        loop {
            let config = NodeConfig {
                node_id: Some(1),
                data_dir: folder.path().join("node"),
                listen: free(),
                peer_listen: free(),
                bootstrap: true,
                ..NodeConfig::default()
            };
            match node::start(config.check().unwrap()).await {
                // Another test took the port between the look for it and this.
                Err(StartError::Bind { .. }) => {}
                started => return Self::begun(started.unwrap(), folder).await,
            }
        }
    }

    pub async fn start_with(config: NodeConfig, folder: TempDir) -> Self {
        Self::begun(node::start(config.check().unwrap()).await.unwrap(), folder).await
    }

    async fn begun(node: RunningNode, folder: TempDir) -> Self {
        node.ready().await.unwrap();
        Self { node, http: Client::new(), folder }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.node.address())
    }

    pub async fn ask(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let answer = self.http.request(method, self.url(path)).body(body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}")))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, "").await
    }

    /// Waits until the metrics have a series of which `good` holds, by its name and the beginning of its labels.
    pub async fn metric_is(&self, series: &str, good: impl Fn(f64) -> bool) {
        eventually(&format!("{series} is as it should be"), async || {
            let text = self.metrics().await;
            let value = text.lines().find(|line| line.starts_with(series));
            value.is_some_and(|line| good(line.rsplit(' ').next().unwrap().parse().unwrap()))
        })
        .await;
    }

    pub async fn metrics(&self) -> String {
        self.http.get(self.url("/metrics")).send().await.unwrap().text().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.ask(Method::POST, path, body).await
    }

    /// Appends one event and gives the answer.
    pub async fn append(&self, stream: &str, expected: i64) -> Answer {
        let body = format!(
            r#"{{"entityType":"order","name":"order.placed","data":{{"n":{expected}}},"expectedVersion":{expected}}}"#
        );
        self.post(&weir_api::v1::paths::fill(weir_api::v1::paths::STREAM_EVENTS, stream), body).await
    }
}

/// An address of loopback that nobody listens at.
pub fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
