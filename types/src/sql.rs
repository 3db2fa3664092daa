//! Tables that projections fold into, and what is asked of them.

use std::time::Duration;

use bytes::Bytes;

use crate::{Position, ProjectionId, ProjectionName, ReadError, SinkName, ports::Checkpoint};

/// A value of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    /// None.
    Null,
    /// A whole number.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Bytes),
}

/// One statement with what its parameters stand for, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlStatement {
    /// The text, of one statement.
    pub text: String,
    /// The parameters.
    pub parameters: Vec<SqlValue>,
}

/// What one event does to a projection's tables.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlStep {
    /// The event's position.
    pub position: Position,
    /// The statements, in their order.
    pub statements: Vec<SqlStatement>,
}

/// Tables, as their author defines them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablesDefinition {
    /// The database outside that they are in, if they are not on each node.
    pub sink: Option<SinkName>,
    /// What makes them, in SQL.
    pub sql: String,
}

/// What one fold step does to tables: carried out whole or not at all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableChange {
    /// The position that it follows.
    pub after: Position,
    /// The checkpoint after it.
    pub checkpoint: Checkpoint,
    /// The statements of its events, in order of their positions.
    pub steps: Vec<SqlStep>,
    /// The event at its end that is passed because its statements were to blame, if there is one.
    pub skipped: Option<SqlFault>,
}

/// An event whose statements cannot be carried out, on no node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlFault {
    /// The event's position.
    pub position: Position,
    /// Why.
    pub message: String,
}

/// A question that changes nothing, and its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlQuery {
    /// What is asked.
    pub statement: SqlStatement,
    /// The projections whose tables are seen, each under its name; at most [`crate::limits::SQL_PROJECTIONS_MAX`].
    pub projections: Vec<(ProjectionName, ProjectionId)>,
    /// Rows of the answer.
    pub rows_max: usize,
    /// Bytes of the answer.
    pub bytes_max: usize,
    /// How long it may take.
    pub within: Duration,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlRows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a value for each column.
    pub rows: Vec<Vec<SqlValue>>,
    /// Whether there are more than the limits allow.
    pub truncated: bool,
    /// The position that each projection's tables reflect.
    pub positions: Vec<(ProjectionName, Position)>,
}

/// Why a question was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// What was asked is not legal, or would change something.
    #[error("{0}")]
    Refused(String),
    /// It took longer than it may.
    #[error("query took longer than {} ms", within.as_millis())]
    TimedOut {
        /// How long it may take.
        within: Duration,
    },
    /// The tables cannot be read now.
    #[error(transparent)]
    Read(#[from] ReadError),
}
