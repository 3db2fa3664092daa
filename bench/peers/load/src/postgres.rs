//! PostgreSQL: a table of events that is unique in stream and version, and an outbox row, in one statement.

use std::sync::Arc;

use anyhow::Result;
use tokio_postgres::{Client, NoTls, Statement, error::SqlState};

use crate::{
    args::Args,
    measure::{Peer, Writer},
};

/// Connections; more appends than these in flight are pipelined on them.
const CONNECTIONS_MAX: usize = 64;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS events (
  position bigserial PRIMARY KEY,
  stream text NOT NULL,
  version bigint NOT NULL,
  name text NOT NULL,
  data jsonb NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (stream, version)
);
CREATE TABLE IF NOT EXISTS outbox (position bigint PRIMARY KEY);";

/// No row is written when the version before is not there; a version that is there breaks the unique index.
const APPEND: &str = "
WITH appended AS (
  INSERT INTO events (stream, version, name, data)
  SELECT $1, $2::bigint, 'bench.appended', ($3::text)::jsonb
  WHERE $2::bigint = 1 OR EXISTS (SELECT FROM events WHERE stream = $1 AND version = $2::bigint - 1)
  RETURNING position)
INSERT INTO outbox SELECT position FROM appended";

pub struct Postgres {
    clients: Vec<Arc<(Client, Statement)>>,
    event: Arc<str>,
}

impl Postgres {
    pub async fn connect(args: &Args) -> Result<Self> {
        let most = args.in_flight.iter().copied().max().unwrap_or(1).clamp(1, CONNECTIONS_MAX);
        let mut clients = Vec::new();
        for number in 0..most {
            let (client, connection) = tokio_postgres::connect(&args.urls[0], NoTls).await?;
            tokio::spawn(connection);
            if number == 0 {
                client.batch_execute(SCHEMA).await?;
            }
            let append = client.prepare(APPEND).await?;
            clients.push(Arc::new((client, append)));
        }
        Ok(Self { clients, event: args.event().into() })
    }
}

impl Peer for Postgres {
    type Writer = PostgresWriter;

    fn writer(&self, run: &str, caller: usize) -> PostgresWriter {
        let client = Arc::clone(&self.clients[caller % self.clients.len()]);
        PostgresWriter { client, prefix: format!("bench-{run}-"), event: Arc::clone(&self.event) }
    }
}

pub struct PostgresWriter {
    client: Arc<(Client, Statement)>,
    prefix: String,
    event: Arc<str>,
}

impl Writer for PostgresWriter {
    async fn append(&mut self, stream: usize, guard: u64) -> Result<u64, String> {
        let (client, append) = self.client.as_ref();
        let stream = format!("{}{stream}", self.prefix);
        let version = guard as i64 + 1;
        match client.execute(append, &[&stream, &version, &self.event.as_ref()]).await {
            Ok(1) => Ok(guard + 1),
            Ok(_) => Err("conflict".to_owned()),
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Err("conflict".to_owned()),
            Err(error) => Err(error.code().map_or("connection".to_owned(), |code| code.code().to_owned())),
        }
    }
}
