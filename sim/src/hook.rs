//! A server outside that webhooks are sent to, in the place of HTTP one message each way. It refuses some events, and
//! falls silent at others.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use http::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use turmoil::net::{TcpListener, TcpStream};
use weir_api::connect::ProjectionEvent;
use weir_check::{
    effects::{Heard, Reply},
    rng::Rng,
};
use weir_node::http_client::HttpClient;

use crate::{
    desk::{put, take},
    network::Wires,
    notes::Notes,
    plant::Plant,
    trace::Trace,
};

/// The name of its host.
pub const HOST: &str = "hook";
/// Where its events are sent.
pub const URL: &str = "http://hook/";
const PORT: u16 = 80;
/// How long one connection may keep it from the others.
const PATIENCE: Duration = Duration::from_millis(300);

/// A request, of which it looks at nothing else.
#[derive(Serialize, Deserialize)]
struct Sent {
    key: String,
    event: ProjectionEvent,
}

/// The server.
pub struct Hook {
    /// What it chooses by.
    pub rng: Rng,
    /// Set when it is to take everything.
    pub kind: Arc<AtomicBool>,
    /// Where it notes what it heard.
    pub notes: Notes,
    /// Where it is taken down.
    pub trace: Trace,
}

impl Hook {
    /// Answers until the run ends.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn serve(mut self) -> turmoil::Result {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            // The node is gone, or cut off.
            let _ = timeout(PATIENCE, self.attend(stream)).await;
        }
    }

    async fn attend(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let Sent { key, event } = take(&mut stream).await?;
        let reply = match self.rng.within(0..100) {
            _ if self.kind.load(Relaxed) => Reply::Taken,
            0..6 => Reply::Refused,
            6..10 => Reply::Silence,
            _ => Reply::Taken,
        };
        let heard = Heard { position: event.seq, id: event.id, key, reply };
        self.trace.note(format_args!("hook {heard:?}"));
        self.notes.open().heard.push(heard);
        match reply {
            Reply::Silence => Ok(()),
            told => put(&mut stream, &told).await,
        }
    }
}

#[async_trait]
impl HttpClient for Wires {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<StatusCode, String> {
        match exchange(&request).await {
            Ok(Reply::Taken) => Ok(StatusCode::NO_CONTENT),
            _ if self.plant == Some(Plant::SilenceTaken) => Ok(StatusCode::NO_CONTENT),
            Ok(_) => Ok(StatusCode::SERVICE_UNAVAILABLE),
            Err(error) => Err(error.to_string()),
        }
    }
}

async fn exchange(request: &Request<Vec<u8>>) -> io::Result<Reply> {
    let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
    let sent =
        Sent { key: key.unwrap_or_default().to_owned(), event: serde_json::from_slice(request.body())? };
    let host = request.uri().host().unwrap_or_default().to_owned();
    let mut stream = TcpStream::connect((host, PORT)).await?;
    put(&mut stream, &sent).await?;
    take(&mut stream).await
}
