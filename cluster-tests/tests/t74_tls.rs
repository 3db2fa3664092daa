//! TLS with what a node calls outside: a webhook, and a PostgreSQL that projections fold into.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};
use weir_client::{Append, Client, ClientOptions};
use weir_cluster_tests::{Cluster, ClusterSpec, PATIENCE, eventually, postgres::Postgres, weir};

const TABLES: &str =
    "export const name = 'mails'; export const kind = 'sql'; export const sink = 'reporting';
export const events = ['mail.*']; export const tables = 'create table mails (n int)';
export const handler = (event) => ['insert into mails values ($1)', event.data.n];";
const ENCRYPTED: &str = "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'weir' and ssl";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_calls_over_tls_whom_its_system_trusts_and_nobody_else() {
    let (trusted, stranger) = (certificate(), certificate());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trusted.pem");
    std::fs::write(&file, trusted.cert.pem()).unwrap();
    let mut postgres = Postgres::start(Ipv4Addr::LOCALHOST).await.unwrap();
    postgres.kill().unwrap();
    postgres.set_certificate(&trusted.cert.pem(), &trusted.signing_key.serialize_pem()).unwrap();
    postgres.restart().await.unwrap();
    let environment = [
        ("SSL_CERT_FILE", file.display().to_string()),
        ("WEIR_SINKS", format!("reporting={}?sslmode=require", postgres.url())),
    ];
    let cluster = Cluster::start_in(ClusterSpec { nodes: 1, nats: false }, &environment).await.unwrap();
    let edge = &cluster.node(1).edge;

    let client = Client::new([edge.base()], ClientOptions::default()).unwrap();
    for n in 0..5 {
        let event = Append::to("box", "box").event("mail.wanted", &json!({ "n": n }));
        client.append(&event.build().unwrap()).await.unwrap();
    }
    let (taken, refused) = (hook(&trusted).await, hook(&stranger).await);
    for (name, hook) in [("mail", &taken), ("lost", &refused)] {
        let asked = ["projection", "register", name, "mail.*", "--webhook", &hook.0, "--deliveries", "1"];
        weir::run(&cluster.edges(), &asked).await.unwrap();
    }
    edge.deploy(TABLES).await.unwrap();

    eventually("the webhook has all", PATIENCE, || async {
        let taken = taken.1.lock().unwrap().clone();
        anyhow::ensure!(taken == (0..5).map(Value::from).collect::<Vec<_>>(), "{taken:?}");
        Ok(())
    })
    .await
    .unwrap();
    eventually("the stranger is named", PATIENCE, || async {
        let status = edge.get("/api/v1/projections/lost/status").await?;
        let told = status["errorMessage"].as_str().unwrap_or_default();
        anyhow::ensure!(told.contains("invalid peer certificate"), "{status}");
        Ok(())
    })
    .await
    .unwrap();
    assert!(refused.1.lock().unwrap().is_empty());
    let aside = |hook: &str| {
        let asked =
            ["projection", "register", "aside", "mail.*", "--deliveries", "1", "--on-failure", "dead-letter"];
        asked
            .map(str::to_owned)
            .into_iter()
            .chain(["--webhook".to_owned(), hook.to_owned()])
            .collect::<Vec<_>>()
    };
    command(&cluster, &aside(&refused.0)).await;
    eventually("all are put aside", PATIENCE, || async {
        let letters = weir::run(&cluster.edges(), &["projection", "dead-letters", "aside"]).await?;
        anyhow::ensure!(letters[0]["dead_letters"].as_array().map(Vec::len) == Some(5), "{letters:?}");
        Ok(())
    })
    .await
    .unwrap();
    command(&cluster, &aside(&taken.0)).await;
    let replayed = weir::run(&cluster.edges(), &["projection", "replay", "aside", "--all"]).await.unwrap();
    assert_eq!((&replayed[0]["replayed"], taken.1.lock().unwrap().len()), (&json!(5), 10));
    eventually("the tables have all", PATIENCE, || async {
        anyhow::ensure!(postgres.number("select count(*) from mails.mails").await? == 5);
        anyhow::ensure!(postgres.number(ENCRYPTED).await? > 0, "no connection of the node is encrypted");
        Ok(())
    })
    .await
    .unwrap();
    cluster.finish(&[]).unwrap();
}

async fn command(cluster: &Cluster, args: &[String]) {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    weir::run(&cluster.edges(), &args).await.unwrap();
}

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap()
}

/// A server of HTTP over TLS: its address, and the numbers of the events that it took.
async fn hook(of: &CertifiedKey<KeyPair>) -> (String, Arc<Mutex<Vec<Value>>>) {
    let key = PrivateKeyDer::try_from(of.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![of.cert.der().clone()], key)
        .unwrap();
    let (acceptor, taken) = (TlsAcceptor::from(Arc::new(config)), Arc::new(Mutex::new(Vec::new())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let takes = taken.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A node that does not trust it hangs up.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let (mut text, mut part) = (String::new(), [0; 4_096]);
            while let Ok(count @ 1..) = stream.read(&mut part).await {
                text.push_str(&String::from_utf8_lossy(&part[..count]));
                // Events of this test have no line breaks: what follows the headers is one whole event, or a part of it.
                let event = text.split_once("\r\n\r\n").map(|(_, body)| serde_json::from_str::<Value>(body));
                if let Some(Ok(event)) = event {
                    takes.lock().unwrap().push(event["data"]["n"].clone());
                    text.clear();
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                }
            }
        }
    });
    (url, taken)
}
