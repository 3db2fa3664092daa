//! Streamed appends on the receiving side. Each stream is one task that feeds
//! openraft in the order of arrival and answers in the same order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use futures::StreamExt;
use openraft::{
    async_runtime::WatchReceiver,
    raft::{AppendEntriesRequest, StreamAppendError},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    heard::Heard,
    network::{
        APPENDS_IN_FLIGHT_MAX,
        frame::{Header, Outgoing, Role},
        message,
    },
    types::{Raft, TypeConfig},
};

/// One stream's way in. Dropping it ends the stream once all is answered.
pub(crate) struct AppendSession {
    requests: mpsc::Sender<(Header, AppendEntriesRequest<TypeConfig>)>,
    raft: Raft,
    heard: Arc<Heard>,
}

impl AppendSession {
    /// Starts the stream's task.
    pub(crate) fn start(raft: Raft, heard: Arc<Heard>, answers: mpsc::Sender<Outgoing>) -> Self {
        let (requests, queue) = mpsc::channel(APPENDS_IN_FLIGHT_MAX);
        tokio::spawn(answer_appends(raft.clone(), heard.clone(), queue, answers));
        Self { requests, raft, heard }
    }

    /// Takes the next request. After a refusal the stream is over and what still comes on it is dropped.
    pub(crate) async fn take(&self, header: Header, request: AppendEntriesRequest<TypeConfig>) {
        // A slow disk may hold the answer up, and still the leader was heard.
        if self.raft.server_metrics().borrow_watched().vote == request.vote {
            self.heard.note();
        }
        // An error means that the stream is over, and the asking side learns that from its last answer.
        let _ = self.requests.send((header, request)).await;
    }
}

async fn answer_appends(
    raft: Raft,
    heard: Arc<Heard>,
    queue: mpsc::Receiver<(Header, AppendEntriesRequest<TypeConfig>)>,
    answers: mpsc::Sender<Outgoing>,
) {
    let unanswered = Arc::new(Mutex::new(VecDeque::new()));
    let taken = unanswered.clone();
    let requests = ReceiverStream::new(queue).map(move |(header, request)| {
        taken.lock().expect("nothing panics while it holds this lock").push_back(header);
        request
    });
    let mut results = std::pin::pin!(raft.stream_append(requests));
    while let Some(result) = results.next().await {
        let header: Option<Header> =
            unanswered.lock().expect("nothing panics while it holds this lock").pop_front();
        let header = header.expect("an answer belongs to a request that was taken");
        if matches!(result, Ok(Ok(_) | Err(StreamAppendError::Conflict(_)))) {
            heard.note();
        }
        let answer = match result {
            Ok(result) => Outgoing::new(header.answer(Role::Answer), message::encode_append_result(&result)),
            Err(fatal) => Outgoing::new(header.answer(Role::Refusal), fatal.to_string().into()),
        };
        if answers.send(answer).await.is_err() {
            return;
        }
    }
}
