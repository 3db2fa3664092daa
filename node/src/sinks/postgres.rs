//! One PostgreSQL that projections fold into.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls_tokio_postgres::MakeRustlsConnect;
use tokio::{sync::Mutex as Turn, time::timeout};
use tokio_postgres::{Client, Config, NoTls, Socket, Transaction, config::SslMode, tls::MakeTlsConnect};
use tracing::debug;
use weir_types::{
    ClusterId, Position, ProjectionId, ProjectionName, SinkName, SqlFault, TableChange, ports::Checkpoint,
};

use super::{
    commit,
    control::{self, Key, Standing, quoted},
    fault::SinkError,
};
use crate::tls;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long the database may be silent about one request: longer than it lets any take.
const SILENCE_MAX: Duration = Duration::from_secs(35);
/// What holds within each transaction. A node that is stopped amid one, and keeps its connection, loses it; the others
/// wait for the row that it holds until then.
const BOUNDS: &str = "set local statement_timeout = '30s'; set local lock_timeout = '25s';
    set local idle_in_transaction_session_timeout = '15s'; set local client_min_messages = warning;
    set constraints all immediate;";
/// Bytes of a name, in the database's default build.
const IDENTIFIER_BYTES_MAX: usize = 63;
/// Where tables are tried out. No projection is called so.
const TRIAL: &str = "weir@check";

/// One connection for each generation, opened when it is used.
type Line = Arc<Turn<Option<Client>>>;

/// A database, and this cluster's part in it.
pub(super) struct Postgres {
    sink: SinkName,
    config: Config,
    cluster: ClusterId,
    lines: Mutex<HashMap<ProjectionId, Line>>,
}

/// What became of tables that are not folded into any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Released {
    /// They are gone, or another generation has their name.
    Done,
    /// A newer generation is to take their place, and is behind them.
    Waits,
}

impl Postgres {
    pub(super) fn new(sink: SinkName, mut config: Config, cluster: ClusterId) -> Self {
        config.application_name("weir").connect_timeout(CONNECT_MAX).tcp_user_timeout(SILENCE_MAX);
        config.keepalives(true).keepalives_idle(Duration::from_secs(15));
        config.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
        Self { sink, config, cluster, lines: Mutex::default() }
    }

    /// Says what is wrong with a definition of tables; all that it makes is undone.
    pub(super) async fn check(&self, name: &ProjectionName, tables: &str) -> Result<(), SinkError> {
        let name = name.as_str();
        if name.len() > IDENTIFIER_BYTES_MAX {
            let max = IDENTIFIER_BYTES_MAX;
            return Err(SinkError::Fault(format!("`{name}` has over {max} bytes, which no schema may have")));
        }
        let mut client = self.connect().await?;
        let transaction = begin(&mut client).await?;
        control::set_up(&transaction).await?;
        let id = ProjectionId {
            name: ProjectionName::new(name).expect("it is a name"),
            deployed: weir_types::LogIndex::ZERO,
        };
        let key = Key::new(self.cluster, &id);
        self.must_be_ours(&transaction, &key).await?;
        let ours = key.living(&transaction).await?.iter().any(|one| one.schema == name);
        let sql = "select 1 from pg_namespace where nspname = $1";
        let parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), _)] =
            &[(&name, tokio_postgres::types::Type::TEXT)];
        let taken = !within(transaction.query_typed(sql, parameters)).await?.is_empty();
        if taken && !ours {
            return Err(SinkError::Fault(format!("there is a schema `{name}` in the database already")));
        }
        // Of a node that ended while it tried out tables that end their transaction.
        let left = format!("drop schema if exists {} cascade", quoted(TRIAL));
        within(transaction.batch_execute(&left)).await?;
        make(&transaction, TRIAL, tables).await?;
        within(transaction.rollback()).await
    }

    /// The checkpoint of a generation's tables; makes empty ones when there are none.
    pub(super) async fn open(&self, id: &ProjectionId, tables: &str) -> Result<Checkpoint, SinkError> {
        let key = Key::new(self.cluster, id);
        let mut client = self.connect().await?;
        let transaction = begin(&mut client).await?;
        control::set_up(&transaction).await?;
        let standing = match key.standing(&transaction, false).await? {
            Some(standing) => standing,
            None => self.create(&transaction, &key, tables).await?,
        };
        within(transaction.commit()).await?;
        Ok(match standing.dropped {
            true => Checkpoint { position: Position(u64::MAX), ..standing.checkpoint },
            false => standing.checkpoint,
        })
    }

    async fn create(
        &self,
        transaction: &Transaction<'_>,
        key: &Key,
        tables: &str,
    ) -> Result<Standing, SinkError> {
        self.must_be_ours(transaction, key).await?;
        if key.is_superseded(transaction).await? {
            return key.insert(transaction, None).await;
        }
        let is_taken = key.living(transaction).await?.iter().any(|one| one.schema == key.name);
        let schema = if is_taken { beside(&key.name, key.generation) } else { key.name.clone() };
        let standing = key.insert(transaction, Some(&schema)).await?;
        make(transaction, &schema, tables).await?;
        Ok(standing)
    }

    async fn must_be_ours(&self, transaction: &Transaction<'_>, key: &Key) -> Result<(), SinkError> {
        match key.stranger(transaction).await? {
            None => Ok(()),
            Some(other) => Err(SinkError::Fault(format!(
                "`{}` is in the database already, of the cluster {other}; this one is {}",
                key.name, self.cluster
            ))),
        }
    }

    /// See [`weir_types::ports::TableStore::commit`].
    pub(super) async fn commit(
        &self,
        id: &ProjectionId,
        change: &TableChange,
    ) -> Result<Option<SqlFault>, SinkError> {
        let line = self.lines().entry(id.clone()).or_default().clone();
        let mut held = line.lock().await;
        // Whoever is stopped amid this leaves none, and what it had begun is undone.
        let mut client = match held.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.connect().await?,
        };
        let done = commit::commit(&mut client, &Key::new(self.cluster, id), change).await?;
        *held = Some(client);
        Ok(done)
    }

    /// Drops the tables of a generation, once the newer one that is to take their name reflects as much.
    pub(super) async fn release(&self, id: &ProjectionId) -> Result<Released, SinkError> {
        self.lines().remove(id);
        let key = Key::new(self.cluster, id);
        let mut client = self.connect().await?;
        let transaction = begin(&mut client).await?;
        // Who reads the tables is waited for, and those who come after wait for this: not for long.
        within(transaction.batch_execute("set local lock_timeout = '2s'")).await?;
        if !control::is_there(&transaction).await? {
            return Ok(Released::Done);
        }
        control::set_up(&transaction).await?;
        let living = key.living(&transaction).await?;
        let Some(mine) = living.iter().find(|one| one.generation == key.generation) else {
            if key.standing(&transaction, false).await?.is_none() {
                // A node that is behind would make them.
                key.insert(&transaction, None).await?;
            }
            within(transaction.commit()).await?;
            return Ok(Released::Done);
        };
        let newer: Vec<_> = living.iter().filter(|one| one.generation > key.generation).collect();
        let reached = |one: &&&Standing| one.checkpoint.position >= mine.checkpoint.position;
        match newer.iter().rfind(reached) {
            None if !newer.is_empty() => return Ok(Released::Waits),
            None => key.drop_tables(&transaction, mine).await?,
            Some(next) => {
                let older = living.iter().filter(|one| one.generation < next.generation);
                let mut is_named = false;
                for one in older {
                    is_named |= one.schema == key.name;
                    key.drop_tables(&transaction, one).await?;
                }
                if is_named {
                    key.rename(&transaction, next).await?;
                }
            }
        }
        within(transaction.commit()).await?;
        Ok(Released::Done)
    }

    async fn connect(&self) -> Result<Client, SinkError> {
        match self.config.get_ssl_mode() {
            SslMode::Require => self.connect_over(MakeRustlsConnect::new(tls::client_config())).await,
            _ => self.connect_over(NoTls).await,
        }
    }

    async fn connect_over<T>(&self, tls: T) -> Result<Client, SinkError>
    where
        T: MakeTlsConnect<Socket, Stream: Send + 'static>,
    {
        let connecting = timeout(CONNECT_MAX, self.config.connect(tls));
        let late = |_| SinkError::Failed(format!("no connection within {} s", CONNECT_MAX.as_secs()));
        let (client, connection) = connecting.await.map_err(late)??;
        let sink = self.sink.clone();
        // It ends with the client.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%sink, %error, "connection to a sink ended");
            }
        });
        Ok(client)
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, HashMap<ProjectionId, Line>> {
        self.lines.lock().expect("no holder of the lock panics")
    }
}

/// Begins a transaction with its bounds.
pub(super) async fn begin(client: &mut Client) -> Result<Transaction<'_>, SinkError> {
    let transaction = within(client.transaction()).await?;
    within(transaction.batch_execute(BOUNDS)).await?;
    Ok(transaction)
}

/// What the database answers, if it does in time.
pub(super) async fn within<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SinkError> {
    let late = |_| SinkError::Failed(format!("no answer within {} s", SILENCE_MAX.as_secs()));
    Ok(timeout(SILENCE_MAX, answer).await.map_err(late)??)
}

/// Lets statements of authors find their own tables, and what extensions have put into `public`.
pub(super) async fn enter(transaction: &Transaction<'_>, schema: &str) -> Result<(), SinkError> {
    let sql = format!("set local search_path to {}, public", quoted(schema));
    within(transaction.batch_execute(&sql)).await
}

/// Makes a schema with an author's tables.
async fn make(transaction: &Transaction<'_>, schema: &str, tables: &str) -> Result<(), SinkError> {
    let before = number_of(transaction).await?;
    within(transaction.batch_execute(&format!("create schema {}", quoted(schema)))).await?;
    enter(transaction, schema).await?;
    within(transaction.batch_execute(tables)).await?;
    if number_of(transaction).await? == before {
        return Ok(());
    }
    // The author's text has ended the transaction: what it made before stands.
    within(transaction.batch_execute(&format!("drop schema if exists {} cascade", quoted(schema)))).await?;
    Err(SinkError::Fault("`tables` may not begin or end a transaction".into()))
}

async fn number_of(transaction: &Transaction<'_>) -> Result<i64, SinkError> {
    let rows = within(transaction.query_typed("select txid_current()", &[])).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

/// The schema of a generation while another has the projection's name.
fn beside(name: &str, generation: i64) -> String {
    let ending = format!("@{generation}");
    // A projection's name is ASCII.
    let kept = name.len().min(IDENTIFIER_BYTES_MAX - ending.len());
    format!("{}{ending}", &name[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_beside_another_has_a_name_that_the_database_takes() {
        assert_eq!(beside("orders", 812), "orders@812");
        let long = beside(&"x".repeat(63), i64::MAX);
        assert_eq!((long.len(), long.ends_with("x@9223372036854775807")), (63, true));
    }
}
