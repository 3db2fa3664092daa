//! One file: the author's tables, and the checkpoint that they reflect.

use std::path::Path;

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, StatementStatus, params, types::ToSqlOutput,
};
use weir_types::{Position, SqlFault, SqlStatement, SqlStep, SqlValue, limits, ports::Checkpoint};

use super::guard::{Guard, Stage, UNIT_STEPS};

/// The layout of a file's own tables.
const FORMAT: i64 = 1;
/// Columns with a default, which is SQL.
const DEFAULTS: &str = "select t.name || '.' || c.name, c.dflt_value
    from sqlite_schema t, pragma_table_xinfo(t.name) c where t.type = 'table' and c.dflt_value is not null";
/// A table whose foreign keys are checked when a transaction ends, where no event is to blame any more.
const DEFERRED: &str = "select name from sqlite_schema where sql like '%initially%deferred%' limit 1";

/// A file that is open for writing.
pub(super) struct File {
    connection: Connection,
    guard: Guard,
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("file cannot be trusted: {0}")]
    Untrusted(String),
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Engine(#[from] rusqlite::Error),
}

impl OpenError {
    /// Whether the file itself is to blame, and not the machine.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Untrusted(_) => true,
            Self::Refused(_) => false,
            Self::Engine(error) => is_damage(error),
        }
    }
}

/// Whether the file is to blame.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

impl File {
    /// Says what is wrong with a definition of tables, if anything is.
    pub(super) fn check(tables: &str) -> Result<(), OpenError> {
        Self::guarded(Connection::open_in_memory()?)?.create(tables)
    }

    fn guarded(mut connection: Connection) -> rusqlite::Result<Self> {
        let guard = Guard::set(&mut connection)?;
        Ok(Self { connection, guard })
    }

    /// Opens a file, or makes one with these tables.
    pub(super) fn open(path: &Path, tables: Option<&str>) -> Result<(Self, Checkpoint), OpenError> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, tables.is_some());
        let connection = Connection::open_with_flags(path, flags)?;
        // Readers see a whole state while it is written; and nothing but the log is flushed for an answer.
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "normal")?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let mut file = Self::guarded(connection)?;
        match (version, tables) {
            (FORMAT, _) => {}
            (0, Some(tables)) if file.is_empty()? => file.create(tables)?,
            _ => return Err(OpenError::Untrusted(format!("its format is {version}"))),
        }
        let sound: String = file.connection.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(OpenError::Untrusted(sound));
        }
        let checkpoint = file.checkpoint()?;
        Ok((file, checkpoint))
    }

    fn is_empty(&self) -> rusqlite::Result<bool> {
        self.connection.query_row("select count(*) = 0 from sqlite_schema", [], |row| row.get(0))
    }

    /// Makes the author's tables and the one of the checkpoint, all or nothing.
    fn create(&mut self, tables: &str) -> Result<(), OpenError> {
        let transaction = self.connection.transaction()?;
        transaction.execute_batch(
            "create table _weir_checkpoint (one integer primary key check (one = 1), position integer not null,
                events integer not null, digest integer not null, dead_letters integer not null) strict;
             insert into _weir_checkpoint values (1, 0, 0, 0, 0);",
        )?;
        self.guard.within(Stage::Definition, || transaction.execute_batch(tables))?;
        if let Some(flaw) = flaw_of(&transaction)? {
            return Err(OpenError::Refused(flaw));
        }
        transaction.pragma_update(None, "user_version", FORMAT)?;
        Ok(transaction.commit()?)
    }

    pub(super) fn checkpoint(&self) -> rusqlite::Result<Checkpoint> {
        let sql = "select position, events, digest, dead_letters from _weir_checkpoint";
        self.connection.query_row(sql, [], |row| {
            Ok(Checkpoint {
                position: Position(unsigned(row.get(0)?)),
                events: unsigned(row.get(1)?),
                digest: unsigned(row.get(2)?),
                dead_letters: unsigned(row.get(3)?),
                ..Checkpoint::default()
            })
        })
    }

    /// Carries out statements with the checkpoint after them, or nothing of it.
    pub(super) fn commit(
        &mut self,
        checkpoint: &Checkpoint,
        steps: &[SqlStep],
    ) -> rusqlite::Result<Option<SqlFault>> {
        let transaction = self.connection.transaction()?;
        for step in steps {
            let done = self.guard.within(Stage::Statement, || {
                step.statements.iter().try_for_each(|one| carry_out(&transaction, &self.guard, one))
            });
            match done {
                Ok(()) => {}
                Err(error) if is_of_statement(&error) => {
                    // Some faults have undone all by themselves, as `insert or rollback` does.
                    transaction.finish()?;
                    return Ok(Some(SqlFault { position: step.position, message: told(&error) }));
                }
                Err(error) => return Err(error),
            }
        }
        transaction.execute(
            "update _weir_checkpoint set position = ?1, events = ?2, digest = ?3, dead_letters = ?4",
            params![
                signed(checkpoint.position.0),
                signed(checkpoint.events),
                signed(checkpoint.digest),
                signed(checkpoint.dead_letters)
            ],
        )?;
        transaction.commit()?;
        Ok(None)
    }
}

/// What the engine takes and this store does not.
fn flaw_of(connection: &Connection) -> rusqlite::Result<Option<String>> {
    // Not every version of the engine asks the authorizer about functions in a default.
    let mut defaults = connection.prepare(DEFAULTS)?;
    let mut found = defaults.query([])?;
    while let Some(row) = found.next()? {
        if !is_constant(row.get_ref(1)?.as_str()?) {
            let column: String = row.get(0)?;
            return Ok(Some(format!("default of column {column} is computed, and must be a constant")));
        }
    }
    let deferred: Option<String> = connection.query_row(DEFERRED, [], |row| row.get(0)).optional()?;
    Ok(deferred.map(|table| format!("foreign keys of table {table} cannot be deferred")))
}

/// Whether a default is one literal: a number, a text, bytes, or a word as `null` and `true` are.
fn is_constant(default: &str) -> bool {
    let text = default.trim().trim_start_matches(['+', '-', ' ']);
    let quoted = text.strip_prefix(['x', 'X']).filter(|rest| rest.starts_with('\'')).unwrap_or(text);
    for quote in ['\'', '"'] {
        if let Some(inner) = quoted.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            // A quote within a text is doubled. Another would end it, and something would follow.
            return !inner.replace(&format!("{quote}{quote}"), "").contains(quote);
        }
    }
    let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_clock = text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("current_"));
    text.parse::<f64>().is_ok() || (is_word && !text.is_empty() && !is_clock)
}

/// SQLite has no unsigned numbers: the bits are kept.
fn signed(number: u64) -> i64 {
    number.cast_signed()
}

fn unsigned(number: i64) -> u64 {
    number.cast_unsigned()
}

fn carry_out(connection: &Connection, guard: &Guard, statement: &SqlStatement) -> rusqlite::Result<()> {
    // Of the cache only statements come that were let in as an author's: own ones are never put there. Neither what
    // parsing takes nor what a statement took before is counted, for a node that was restarted knows nothing of it.
    let mut prepared = guard.uncounted(|| connection.prepare_cached(&statement.text))?;
    prepared.reset_status(StatementStatus::VmStep);
    let parameters = statement.parameters.iter().map(bound);
    let mut rows = prepared.query(rusqlite::params_from_iter(parameters))?;
    // One that gives rows is taken too: `insert … returning`, or a `select` that comes to nothing.
    while rows.next()?.is_some() {}
    Ok(())
}

pub(super) fn bound(value: &SqlValue) -> ToSqlOutput<'_> {
    use rusqlite::types::{Value, ValueRef};
    match value {
        SqlValue::Null => ToSqlOutput::Owned(Value::Null),
        SqlValue::Integer(number) => ToSqlOutput::Owned(Value::Integer(*number)),
        SqlValue::Real(number) => ToSqlOutput::Owned(Value::Real(*number)),
        SqlValue::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        SqlValue::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
    }
}

/// Whether the statement is to blame, and would be on every node: not the disk, nor the memory of this one.
pub(super) fn is_of_statement(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return true };
    matches!(
        failure.code,
        ErrorCode::Unknown
            | ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::TooBig
            | ErrorCode::OperationInterrupted
            | ErrorCode::OperationAborted
            | ErrorCode::AuthorizationForStatementDenied
            | ErrorCode::ParameterOutOfRange
    )
}

/// What went wrong, for an author.
pub(super) fn told(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) if failure.code == ErrorCode::OperationInterrupted => {
            let steps = u64::from(limits::SQL_UNITS_MAX) * UNIT_STEPS.unsigned_abs() as u64;
            format!("SQL: statements of one event took more than {steps} steps")
        }
        rusqlite::Error::SqlInputError { msg, sql, .. } => format!("SQL: {msg}, in `{sql}`"),
        other => format!("SQL: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_one_literal() {
        for constant in
            ["0", "-1", "+ 1.5e-3", "0x1f", "'f(x)'", "'it''s'", "''", "\"a\"", "x'00ff'", "null", "TRUE"]
        {
            assert!(is_constant(constant), "{constant}");
        }
        for computed in [
            "random()",
            "current_timestamp",
            "CURRENT_DATE",
            "'a' || random()",
            "'a' || date('now') || 'b'",
            "-random()",
            "1 + 1",
            "x'00' || x'01'",
        ] {
            assert!(!is_constant(computed), "{computed}");
        }
    }
}
