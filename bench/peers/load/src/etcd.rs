//! etcd: one key per event, put by a transaction that compares: the key is not there, the one before it is.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use prost::Message;
use tonic::{client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    args::Args,
    measure::{Peer, Writer},
};

/// Connections, all to the leader: the best case of this peer.
const CONNECTIONS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);
const TXN: &str = "/etcdserverpb.KV/Txn";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// Of etcd's `rpc.proto`, the fields that are used here, by their published numbers.
#[derive(Clone, PartialEq, Message)]
struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    success: Vec<RequestOp>,
}

/// A comparison of a key's version.
#[derive(Clone, PartialEq, Message)]
struct Compare {
    /// 0 equal, 1 greater.
    #[prost(int32, tag = "1")]
    result: i32,
    /// 0 is the key's version; 0 of a key that is not there.
    #[prost(int32, tag = "2")]
    target: i32,
    #[prost(bytes = "bytes", tag = "3")]
    key: Bytes,
    #[prost(int64, optional, tag = "4")]
    version: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct RequestOp {
    #[prost(message, optional, tag = "2")]
    put: Option<PutRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct TxnResponse {
    #[prost(bool, tag = "2")]
    succeeded: bool,
}

#[derive(Clone, PartialEq, Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member: u64,
}

pub struct Etcd {
    channels: Vec<Channel>,
    event: Bytes,
}

impl Etcd {
    pub async fn connect(args: &Args) -> Result<Self> {
        let leader = leader(&args.urls).await?;
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(Channel::from_shared(leader.clone())?.connect().await?);
        }
        Ok(Self { channels, event: args.event().into() })
    }
}

async fn leader(urls: &[String]) -> Result<String> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        for url in urls {
            if matches!(leads(url).await, Ok(true)) {
                return Ok(url.clone());
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("etcd has no leader")
}

async fn leads(url: &str) -> Result<bool> {
    let mut grpc = Grpc::new(Channel::from_shared(url.to_owned())?.connect().await?);
    grpc.ready().await?;
    let codec = ProstCodec::<StatusRequest, StatusResponse>::default();
    let request = tonic::Request::new(StatusRequest {});
    let status = grpc.unary(request, PathAndQuery::from_static(STATUS), codec).await?.into_inner();
    let member = status.header.context("a status has a header")?.member;
    Ok(status.leader != 0 && status.leader == member)
}

impl Peer for Etcd {
    type Writer = EtcdWriter;

    fn writer(&self, run: &str, caller: usize) -> EtcdWriter {
        let grpc = Grpc::new(self.channels[caller % self.channels.len()].clone());
        EtcdWriter { grpc, prefix: format!("bench/{run}/"), event: self.event.clone() }
    }
}

pub struct EtcdWriter {
    grpc: Grpc<Channel>,
    prefix: String,
    event: Bytes,
}

impl EtcdWriter {
    /// The guard is the version of the stream's last event; versions begin at 1.
    fn transaction(&self, stream: usize, guard: u64) -> TxnRequest {
        let key = |version: u64| Bytes::from(format!("{}{stream}/{version:010}", self.prefix));
        let new = Compare { result: 0, target: 0, key: key(guard + 1), version: Some(0) };
        let before = (guard > 0).then(|| Compare { result: 1, target: 0, key: key(guard), version: Some(0) });
        let put = PutRequest { key: key(guard + 1), value: self.event.clone() };
        TxnRequest {
            compare: [new].into_iter().chain(before).collect(),
            success: vec![RequestOp { put: Some(put) }],
        }
    }
}

impl Writer for EtcdWriter {
    async fn append(&mut self, stream: usize, guard: u64) -> Result<u64, String> {
        let request = tonic::Request::new(self.transaction(stream, guard));
        self.grpc.ready().await.map_err(|error| error.to_string())?;
        let codec = ProstCodec::<TxnRequest, TxnResponse>::default();
        let answer = self.grpc.unary(request, PathAndQuery::from_static(TXN), codec).await;
        match answer {
            Ok(answer) if answer.get_ref().succeeded => Ok(guard + 1),
            Ok(_) => Err("conflict".to_owned()),
            Err(status) => Err(status.code().description().to_owned()),
        }
    }
}
