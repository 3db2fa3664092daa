//! The schema `weir` of a sink: which generations have tables in it, and how far each is.
//!
//! Invariant: a generation's tables and its row are changed in one transaction, which holds the row's lock. So whoever
//! commits knows what the tables reflect, and each event is carried out once, by whichever node is first.

use tokio_postgres::{
    GenericClient, Row, Transaction,
    types::{ToSql, Type},
};
use weir_types::{ClusterId, Position, ProjectionId, SqlFault, ports::Checkpoint};

use super::{fault::SinkError, postgres::within};

/// The layout of the schema.
const FORMAT: i32 = 1;
/// Held by whoever makes or drops tables: the letters of `weir`.
const STRUCTURE: i64 = 0x7765_6972;
const LAYOUT: &str = "create schema weir;
    create table weir.format (version integer not null);
    create table weir.projection (
        cluster text not null, name text not null, generation bigint not null,
        schema text not null, dropped boolean not null default false,
        position bigint not null default 0, events bigint not null default 0,
        digest bigint not null default 0, dead_letters bigint not null default 0,
        primary key (cluster, name, generation));
    create table weir.skipped (
        cluster text not null, name text not null, generation bigint not null,
        position bigint not null, message text not null,
        primary key (cluster, name, generation, position));";
const COLUMNS: &str = "generation, schema, dropped, position, events, digest, dead_letters";
const OF_ONE: &str = "cluster = $1 and name = $2 and generation = $3";

/// What a generation has in a sink.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    pub(super) generation: i64,
    /// The schema that its tables are in.
    pub(super) schema: String,
    /// Whether another generation has taken its place, or it was removed: it has no tables.
    pub(super) dropped: bool,
    pub(super) checkpoint: Checkpoint,
}

/// Whose rows are meant.
#[derive(Debug, Clone)]
pub(super) struct Key {
    cluster: String,
    pub(super) name: String,
    pub(super) generation: i64,
}

type Parameters<'a> = [(&'a (dyn ToSql + Sync), Type)];

impl Key {
    pub(super) fn new(cluster: ClusterId, id: &ProjectionId) -> Self {
        let (cluster, name) = (cluster.to_string(), id.name.as_str().to_owned());
        Self { cluster, name, generation: signed(id.deployed.0) }
    }

    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 3] {
        [(&self.cluster, Type::TEXT), (&self.name, Type::TEXT), (&self.generation, Type::INT8)]
    }

    /// The row, if there is one; with `lock` it stays as it is until the transaction ends.
    pub(super) async fn standing(
        &self,
        client: &impl GenericClient,
        lock: bool,
    ) -> Result<Option<Standing>, SinkError> {
        let lock = if lock { " for update" } else { "" };
        let sql = format!("select {COLUMNS} from weir.projection where {OF_ONE}{lock}");
        let rows = within(client.query_typed(&sql, &self.parameters())).await?;
        rows.first().map(standing).transpose()
    }

    /// All generations of the projection that have tables, the oldest first; locked.
    pub(super) async fn living(&self, transaction: &Transaction<'_>) -> Result<Vec<Standing>, SinkError> {
        let sql = format!(
            "select {COLUMNS} from weir.projection where cluster = $1 and name = $2 and not dropped
             order by generation for update"
        );
        let rows = within(transaction.query_typed(&sql, &self.parameters()[..2])).await?;
        rows.iter().map(standing).collect()
    }

    /// The cluster that has tables of this name here, if it is another one.
    pub(super) async fn stranger(&self, transaction: &Transaction<'_>) -> Result<Option<String>, SinkError> {
        let sql = "select cluster from weir.projection where cluster <> $1 and name = $2 and not dropped";
        let rows = within(transaction.query_typed(sql, &self.parameters()[..2])).await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
    }

    /// Whether a newer generation was here, or is.
    pub(super) async fn is_superseded(&self, transaction: &Transaction<'_>) -> Result<bool, SinkError> {
        let sql =
            "select 1 from weir.projection where cluster = $1 and name = $2 and generation > $3 limit 1";
        Ok(!within(transaction.query_typed(sql, &self.parameters())).await?.is_empty())
    }

    /// Makes the row; without a schema it is of one that is dropped.
    pub(super) async fn insert(
        &self,
        transaction: &Transaction<'_>,
        schema: Option<&str>,
    ) -> Result<Standing, SinkError> {
        let (dropped, schema) = (schema.is_none(), schema.unwrap_or_default().to_owned());
        let [cluster, name, generation] = self.parameters();
        let more: [(&(dyn ToSql + Sync), Type); 2] = [(&schema, Type::TEXT), (&dropped, Type::BOOL)];
        let [schema_is, dropped_is] = more;
        self.execute(
            transaction,
            "insert into weir.projection (cluster, name, generation, schema, dropped) values ($1, $2, $3, $4, $5)",
            &[cluster, name, generation, schema_is, dropped_is],
        )
        .await?;
        let (generation, checkpoint) = (self.generation, Checkpoint::default());
        Ok(Standing { generation, schema, dropped, checkpoint })
    }

    /// Moves the row on.
    pub(super) async fn advance(
        &self,
        transaction: &Transaction<'_>,
        to: &Checkpoint,
    ) -> Result<(), SinkError> {
        let numbers = [to.position.0, to.events, to.digest, to.dead_letters].map(signed);
        let mut parameters = self.parameters().to_vec();
        parameters.extend(numbers.iter().map(|number| (number as &(dyn ToSql + Sync), Type::INT8)));
        let sql = format!(
            "update weir.projection set position = $4, events = $5, digest = $6, dead_letters = $7 where {OF_ONE}"
        );
        self.execute(transaction, &sql, &parameters).await
    }

    /// Notes an event that is passed.
    pub(super) async fn skip(
        &self,
        transaction: &Transaction<'_>,
        fault: &SqlFault,
    ) -> Result<(), SinkError> {
        let [cluster, name, generation] = self.parameters();
        let position = signed(fault.position.0);
        self.execute(
            transaction,
            "insert into weir.skipped values ($1, $2, $3, $4, $5)",
            &[cluster, name, generation, (&position, Type::INT8), (&fault.message, Type::TEXT)],
        )
        .await
    }

    /// The events that were passed after a position.
    pub(super) async fn skipped(
        &self,
        client: &impl GenericClient,
        after: Position,
    ) -> Result<Vec<SqlFault>, SinkError> {
        let sql = format!(
            "select position, message from weir.skipped where {OF_ONE} and position > $4 order by position"
        );
        let [cluster, name, generation] = self.parameters();
        let after = signed(after.0);
        let parameters = [cluster, name, generation, (&after as &(dyn ToSql + Sync), Type::INT8)];
        let rows = within(client.query_typed(&sql, &parameters)).await?;
        let fault = |row: &Row| {
            let position = Position(row.try_get::<_, i64>(0)?.cast_unsigned());
            Ok(SqlFault { position, message: row.try_get(1)? })
        };
        rows.iter().map(fault).collect()
    }

    /// Drops a generation's tables, and remembers that they were there.
    pub(super) async fn drop_tables(
        &self,
        transaction: &Transaction<'_>,
        one: &Standing,
    ) -> Result<(), SinkError> {
        let of_it = Self { generation: one.generation, ..self.clone() };
        let sql = format!("drop schema if exists {} cascade", quoted(&one.schema));
        within(transaction.batch_execute(&sql)).await?;
        let sql = format!("delete from weir.skipped where {OF_ONE}");
        of_it.execute(transaction, &sql, &of_it.parameters()).await?;
        let sql = format!("update weir.projection set dropped = true, schema = '' where {OF_ONE}");
        of_it.execute(transaction, &sql, &of_it.parameters()).await
    }

    /// Gives a generation's tables the projection's own name.
    pub(super) async fn rename(
        &self,
        transaction: &Transaction<'_>,
        one: &Standing,
    ) -> Result<(), SinkError> {
        let of_it = Self { generation: one.generation, ..self.clone() };
        let sql = format!("alter schema {} rename to {}", quoted(&one.schema), quoted(&self.name));
        within(transaction.batch_execute(&sql)).await?;
        let sql = format!("update weir.projection set schema = name where {OF_ONE}");
        of_it.execute(transaction, &sql, &of_it.parameters()).await
    }

    async fn execute(
        &self,
        transaction: &Transaction<'_>,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<(), SinkError> {
        within(transaction.execute_typed(sql, parameters)).await.map(drop)
    }
}

/// Waits until nobody else makes or drops tables, and makes the layout if it is not there.
pub(super) async fn set_up(transaction: &Transaction<'_>) -> Result<(), SinkError> {
    let parameters: &Parameters<'_> = &[(&STRUCTURE, Type::INT8)];
    within(transaction.query_typed("select pg_advisory_xact_lock($1)", parameters)).await?;
    if !is_there(transaction).await? {
        within(transaction.batch_execute(LAYOUT)).await?;
        let parameters: &Parameters<'_> = &[(&FORMAT, Type::INT4)];
        within(transaction.execute_typed("insert into weir.format values ($1)", parameters)).await?;
        return Ok(());
    }
    let rows = within(transaction.query_typed("select version from weir.format", &[])).await?;
    let version: Option<i32> = rows.first().map(|row| row.try_get(0)).transpose()?;
    match version {
        Some(FORMAT) => Ok(()),
        Some(other) => Err(SinkError::Failed(format!(
            "schema `weir` has the format {other}, and this build knows {FORMAT}"
        ))),
        None => Err(SinkError::Failed("schema `weir` has lost its format".into())),
    }
}

/// Whether there is a layout.
pub(super) async fn is_there(transaction: &Transaction<'_>) -> Result<bool, SinkError> {
    let sql = "select to_regclass('weir.format') is not null";
    let rows = within(transaction.query_typed(sql, &[])).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(false))
}

/// An identifier as SQL has it, whatever is in it.
pub(super) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn standing(row: &Row) -> Result<Standing, SinkError> {
    let unsigned = |column: usize| Ok::<_, SinkError>(row.try_get::<_, i64>(column)?.cast_unsigned());
    let checkpoint = Checkpoint {
        position: Position(unsigned(3)?),
        events: unsigned(4)?,
        digest: unsigned(5)?,
        dead_letters: unsigned(6)?,
        ..Checkpoint::default()
    };
    let (generation, schema, dropped) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(Standing { generation, schema, dropped, checkpoint })
}

/// There are no unsigned numbers: the bits are kept.
fn signed(number: u64) -> i64 {
    number.cast_signed()
}
