//! Key-value buckets over REST: every status of the contract, by any node, and
//! all of it again after the whole cluster was killed.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{Outcome, Recipe};
use crate::{Cluster, ClusterSpec, PATIENCE, eventually, report::Report};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "streams/kv",
    summary: "key-value buckets over REST: 201, 200, 204, 404, 409, 412, 413; the same after kill -9 of all nodes",
    release: false,
    run: |_, report| story(report).boxed(),
};

/// One request after another, each to the next node.
struct Curl {
    http: Client,
    bases: Vec<String>,
    asked: usize,
}

impl Curl {
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<(u16, Value)> {
        self.asked += 1;
        let url = format!("{}/api/v1/kv/buckets{path}", self.bases[self.asked % self.bases.len()]);
        let mut request = self.http.request(method, url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status().as_u16(), answer.text().await?);
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    async fn expect(
        &mut self,
        (method, path): (Method, &str),
        headers: &[(&str, &str)],
        body: &str,
        expected: u16,
    ) -> Result<Value> {
        let (status, answer) = self.ask(method.clone(), path, headers, body).await?;
        ensure!(status == expected, "{method} {path} was answered {status}, not {expected}: {answer}");
        if status >= 400 {
            let named = ["error", "message", "code"].iter().all(|field| answer[*field].is_string());
            ensure!(named, "{method} {path} has an error of another shape: {answer}");
        }
        Ok(answer)
    }
}

/// Every feature, a kill of all nodes, and what is there then.
///
/// # Errors
/// The first answer that is another.
pub async fn story(report: &mut Report) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let bases = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    let mut curl = Curl { http: Client::new(), bases, asked: 0 };
    report.phase("cluster is ready");
    buckets(&mut curl).await?;
    keys(&mut curl).await?;
    report.phase("every status was met; kill -9 of all nodes");
    for node in &mut cluster.nodes {
        node.kill()?;
    }
    for node in 1..=3 {
        cluster.start_node(node)?;
    }
    cluster.all_ready().await?;
    survived(&mut curl).await?;
    expiry(&mut curl).await?;
    report.note("requests", curl.asked);
    cluster.finish(&[])?;
    Ok(Outcome::Holds)
}

async fn buckets(curl: &mut Curl) -> Result<()> {
    let body = json!({ "name": "b", "description": "d", "history": 4, "max_value_size": 8 }).to_string();
    let made = curl.expect((Method::POST, ""), &[], &body, 201).await?;
    ensure!(made["history"] == 4 && made["values"] == 0, "{made}");
    curl.expect((Method::POST, ""), &[], &body, 409).await?;
    curl.expect((Method::POST, ""), &[], r#"{"name":"a.b"}"#, 400).await?;
    let list = curl.expect((Method::GET, ""), &[], "", 200).await?;
    ensure!(list["count"] == 1, "{list}");
    curl.expect((Method::GET, "/none"), &[], "", 404).await?;
    curl.expect((Method::POST, ""), &[], r#"{"name":"gone"}"#, 201).await?;
    curl.expect((Method::DELETE, "/gone"), &[], "", 204).await?;
    curl.expect((Method::DELETE, "/gone"), &[], "", 404).await?;
    Ok(())
}

async fn keys(curl: &mut Curl) -> Result<()> {
    let (key, create) = ("/b/keys/user:1/a.b", [("if-none-match", "*")]);
    curl.expect((Method::GET, key), &[], "", 404).await?;
    let put = curl.expect((Method::PUT, key), &create, "one", 200).await?;
    ensure!(put["revision"] == 1, "{put}");
    let refused = curl.expect((Method::PUT, key), &create, "two", 412).await?;
    ensure!(refused["details"]["actualRevision"] == 1, "{refused}");
    curl.expect((Method::PUT, key), &[("if-match", "9")], "two", 412).await?;
    curl.expect((Method::PUT, key), &[("if-match", "1")], "two", 200).await?;
    curl.expect((Method::PUT, key), &[], "123456789", 413).await?;
    curl.expect((Method::PUT, "/none/keys/a"), &[], "v", 404).await?;
    curl.expect((Method::PUT, "/b/keys/gone"), &[], "v", 200).await?;
    curl.expect((Method::DELETE, "/b/keys/gone"), &[], "", 204).await?;
    curl.expect((Method::DELETE, "/b/keys/gone"), &[], "", 404).await?;
    curl.expect((Method::DELETE, "/b/keys/gone?purge=true"), &[], "", 204).await?;
    for name in ["order.1", "order.2", "account.1"] {
        curl.expect((Method::PUT, &format!("/b/keys/{name}")), &[], "v", 200).await?;
    }
    Ok(())
}

async fn survived(curl: &mut Curl) -> Result<()> {
    for key in ["/b/keys/user:1/a.b", "/b/keys/user%3A1%2Fa.b"] {
        let entry = curl.expect((Method::GET, key), &[], "", 200).await?;
        ensure!(entry["value"] == "dHdv" && entry["revision"] == 2 && entry["operation"] == "put", "{entry}");
    }
    let history = curl.expect((Method::GET, "/b/keys/user:1/a.b?history=true"), &[], "", 200).await?;
    ensure!(history["entries"].as_array().is_some_and(|entries| entries.len() == 2), "{history}");
    curl.expect((Method::GET, "/b/keys/gone?history=true"), &[], "", 404).await?;
    let page = curl.expect((Method::GET, "/b/keys?filter=order.*"), &[], "", 200).await?;
    ensure!(page["keys"] == json!(["order.1", "order.2"]) && page["count"] == 2, "{page}");
    let info = curl.expect((Method::GET, "/b"), &[], "", 200).await?;
    // Two puts, a put, a deletion and a purge, three puts.
    ensure!(info["values"] == 4 && info["revision"] == 8, "{info}");
    Ok(())
}

async fn expiry(curl: &mut Curl) -> Result<()> {
    curl.expect((Method::POST, ""), &[], r#"{"name":"t","ttl_seconds":1}"#, 201).await?;
    curl.expect((Method::PUT, "/t/keys/k"), &[("if-none-match", "*")], "v", 200).await?;
    let url = format!("{}/api/v1/kv/buckets/t/keys/k", curl.bases[0]);
    eventually("the entry is gone", PATIENCE, || async {
        let status = curl.http.get(&url).send().await?.status().as_u16();
        ensure!(status == 404, "it is {status}");
        Ok(())
    })
    .await?;
    curl.expect((Method::PUT, "/t/keys/k"), &[("if-none-match", "*")], "v", 200).await?;
    Ok(())
}
