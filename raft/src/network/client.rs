//! openraft's view of the links. Appends are pipelined: many are in flight on
//! one stream, and their answers come back in their order.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use openraft::{
    OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    type_config::alias::SnapshotOf,
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use weir_types::{GroupId, LogIndex, NodeId};

use crate::{
    fields::FieldError,
    network::{
        APPENDS_IN_FLIGHT_MAX,
        connection::{Asked, Connection, LinkError},
        frame::Kind,
        link::Link,
        links::Links,
        message,
    },
    snapshot::SnapshotBody,
    types::{self, PeerNode, RaftVote, TypeConfig},
};

type AppendResult = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;
type Failed = RPCError<TypeConfig>;

/// How long a stream of appends waits for a peer that cannot be reached before it fails.
const UNREACHABLE_WAIT: Duration = Duration::from_secs(1);

/// How long a commit that no entry carries waits for one: a follower applies so much
/// later when nothing follows, and under load no message is sent for a commit alone.
const COMMIT_WAIT: Duration = Duration::from_millis(1);

/// Makes clients of one group out of the node's links.
pub(crate) struct LinkFactory {
    links: Arc<Links>,
    group: GroupId,
}

impl LinkFactory {
    pub(crate) fn new(links: Arc<Links>, group: GroupId) -> Self {
        Self { links, group }
    }
}

impl RaftNetworkFactory<TypeConfig> for LinkFactory {
    type Network = LinkClient;

    async fn new_client(&mut self, target: u64, node: &PeerNode) -> LinkClient {
        let link = self.links.to(NodeId(target), &node.peer);
        let myself = self.links.myself();
        LinkClient {
            link,
            group: self.group,
            node: myself.node,
            target: NodeId(target),
            stall_max: myself.silence_max,
        }
    }
}

/// One peer, for one of openraft's tasks.
pub(crate) struct LinkClient {
    link: Arc<Link>,
    group: GroupId,
    node: NodeId,
    target: NodeId,
    /// How long the oldest append of a stream may stay without an answer.
    stall_max: Duration,
}

impl LinkClient {
    async fn ask<T>(
        &self,
        (kind, action): (Kind, RPCTypes),
        body: Bytes,
        option: &RPCOption,
        decode: impl FnOnce(Bytes) -> Result<T, FieldError>,
    ) -> Result<T, Failed> {
        let wait_max = option.soft_ttl();
        let asked = async {
            let connection = self.link.connection(wait_max).await?;
            let body = connection.ask(kind, self.group, 0, vec![body]).await?.answer(wait_max).await?;
            Ok(decode(body)?)
        };
        asked.await.map_err(|error| self.failed(action, error))
    }

    fn failed(&self, action: RPCTypes, error: LinkError) -> Failed {
        failed(action, (self.node, self.target), error)
    }
}

fn failed(action: RPCTypes, (node, target): (NodeId, NodeId), error: LinkError) -> Failed {
    match error {
        LinkError::Timeout { waited } => {
            RPCError::Timeout(Timeout { action, id: node.0, target: target.0, timeout: waited })
        }
        LinkError::Malformed(_) => RPCError::Network(NetworkError::new(&error)),
        LinkError::NotConnected { .. } | LinkError::Lost | LinkError::Refused { .. } => {
            RPCError::Unreachable(Unreachable::new(&error))
        }
    }
}

impl RaftNetworkV2<TypeConfig> for LinkClient {
    type SnapshotData = SnapshotBody;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Failed> {
        let between = (self.node, self.target);
        let mut answers = self.stream_append(futures::stream::iter([request]), option).await?;
        match answers.next().await {
            Some(result) => Ok(result?.into()),
            None => Err(failed(RPCTypes::AppendEntries, between, LinkError::Lost)),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, AppendResult>, Failed>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let (link, group, stall_max) = (self.link.clone(), self.group, self.stall_max);
        let between = (self.node, self.target);
        let answers = async move {
            let connection = match link.connection_if_it_comes(UNREACHABLE_WAIT).await {
                Ok(connection) => connection,
                Err(error) => {
                    let error = failed(RPCTypes::AppendEntries, between, error);
                    return futures::stream::iter([Err(error)]).boxed();
                }
            };
            let (sent, in_flight) = mpsc::channel(APPENDS_IN_FLIGHT_MAX);
            let pump = tokio::spawn(pump(input, connection, group, sent));
            let answers = Answers { link, in_flight, pump, stall_max, between };
            futures::stream::unfold(Some(answers), Answers::next).boxed()
        };
        // The wait for a connection is part of the stream, where openraft can cancel it. It backs off only
        // before it takes a request, so an error without a wait would come back at once, for ever.
        Box::pin(async move { Ok(futures::stream::once(answers).flatten().boxed()) })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Failed> {
        let body = message::encode_vote_request(&request);
        self.ask((Kind::Vote, RPCTypes::Vote), body, &option, message::decode_vote_response).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Failed> {
        let body = message::encode_vote_request(&request);
        self.ask((Kind::PreVote, RPCTypes::Vote), body, &option, message::decode_vote_response).await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Failed> {
        let body = message::encode_transfer(&request);
        let kind = (Kind::TransferLeader, RPCTypes::TransferLeader);
        self.ask(kind, body, &option, message::decode_transfer_response).await
    }

    /// The log is never purged, so a follower is always caught up by entries.
    async fn full_snapshot(
        &mut self,
        _vote: RaftVote,
        _snapshot: SnapshotOf<TypeConfig, SnapshotBody>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(StreamingError::Unreachable(Unreachable::from_string("snapshots are not sent; the log is whole")))
    }
}

/// Sends what openraft has to send, as long as there is room in flight.
async fn pump(
    requests: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin,
    connection: Arc<Connection>,
    group: GroupId,
    in_flight: mpsc::Sender<Result<InFlight, LinkError>>,
) {
    let stream = AppendStream { number: connection.new_stream(), connection, group };
    // The wait below may meet the end, and the loop asks once more; not every stream bears that.
    let mut requests = requests.fuse();
    let mut carried_entries = false;
    // The room is taken before the request is, because openraft counts a request as sent when it is taken.
    while let Ok(room) = in_flight.reserve().await {
        let Some(mut request) = requests.next().await else {
            return;
        };
        if carried_entries && request.entries.is_empty() {
            // Nothing but a commit. The next request carries it too, and its answer stands for both.
            if let Ok(Some(next)) = timeout(COMMIT_WAIT, requests.next()).await {
                request = next;
            }
        }
        carried_entries |= !request.entries.is_empty();
        let parts = message::encode_append(&request);
        let asked = stream.connection.ask(Kind::Append, group, stream.number, parts).await;
        let failed = asked.is_err();
        let committed = request.leader_commit.map_or(LogIndex::ZERO, |id| types::log_index(id.index()));
        room.send(asked.map(|asked| InFlight { asked, committed }));
        if failed {
            return;
        }
    }
}

/// Tells the peer that a stream is over, however it ended.
struct AppendStream {
    connection: Arc<Connection>,
    group: GroupId,
    number: u32,
}

impl Drop for AppendStream {
    fn drop(&mut self) {
        if !self.connection.tell(Kind::AppendEnd, self.group, self.number) {
            let (connection, group, number) = (self.connection.clone(), self.group, self.number);
            tokio::spawn(async move {
                // The answer to an end does not matter, only that it is queued, or the connection dead.
                let _ = connection.ask(Kind::AppendEnd, group, number, Vec::new()).await;
            });
        }
    }
}

/// An append without an answer yet, and what was committed when it was sent.
struct InFlight {
    asked: Asked,
    committed: LogIndex,
}

/// The answers of one stream, in order.
struct Answers {
    link: Arc<Link>,
    in_flight: mpsc::Receiver<Result<InFlight, LinkError>>,
    pump: JoinHandle<()>,
    stall_max: Duration,
    between: (NodeId, NodeId),
}

impl Answers {
    /// The next answer; after one that is not a success there is none.
    async fn next(answers: Option<Self>) -> Option<(AppendResult, Option<Self>)> {
        let mut answers = answers?;
        let result = match answers.in_flight.recv().await? {
            Err(error) => Err(error),
            Ok(InFlight { asked, committed }) => match asked.answer(answers.stall_max).await {
                Err(error) => Err(error),
                Ok(body) => {
                    let result = message::decode_append_result(body).map_err(LinkError::from);
                    if let Ok(Ok(Some(last))) = &result {
                        answers.link.note_acknowledged(committed.min(types::log_index(last.index())));
                    }
                    result
                }
            },
        };
        let result = result.map_err(|error| failed(RPCTypes::AppendEntries, answers.between, error));
        let over = !matches!(result, Ok(Ok(_)));
        Some((result, if over { None } else { Some(answers) }))
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};
    use uuid::Uuid;
    use weir_types::{ClusterId, Incarnation};

    use super::*;
    use crate::{
        admission::Admissions,
        network::{link::Myself, socket::TcpDialer},
    };

    #[tokio::test]
    async fn appends_to_a_peer_that_cannot_be_reached_fail_slowly() {
        let silence_max = Duration::from_secs(3);
        let (cluster, incarnation) = (ClusterId(Uuid::from_u128(1)), Incarnation(Uuid::from_u128(2)));
        let (node, dialer) = (NodeId(1), Arc::new(TcpDialer));
        let myself = Myself { cluster, node, incarnation, config: 0, silence_max, dialer };
        let admissions = Arc::new(Admissions::new(NodeId(1), incarnation));
        let links = Arc::new(Links::new(myself, admissions));
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let peer = PeerNode::at(closed.to_string(), "");
        let mut client = LinkFactory::new(links, GroupId::DEFAULT).new_client(2, &peer).await;
        let began = Instant::now();
        for tries in 1..=2 {
            let request = AppendEntriesRequest {
                vote: RaftVote::new_committed(1, 1),
                prev_log_id: None,
                entries: Vec::new(),
                leader_commit: None,
            };
            let option = RPCOption::new(Duration::from_millis(250));
            let requests = futures::stream::iter([request]);
            let mut answers = client.stream_append(requests, option).await.unwrap();
            let answer = timeout(Duration::from_secs(20), answers.next()).await.unwrap();
            assert!(matches!(answer, Some(Err(RPCError::Unreachable(_)))), "{answer:?}");
            assert!(answers.next().await.is_none());
            assert!(began.elapsed() >= UNREACHABLE_WAIT * tries);
        }
    }
}
