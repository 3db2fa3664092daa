//! Questions about tables: read-only, bounded in rows, bytes and time.

use std::{
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use bytes::Bytes;
use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    hooks::{AuthContext, Authorization},
    types::ValueRef,
};
use weir_types::{Position, ProjectionName, SqlError, SqlQuery, SqlRows, SqlValue};

use super::{
    failed,
    file::{bound, is_damage, is_of_statement, told},
    guard,
};

/// Steps of the engine between two looks at the clock.
const LOOK_EVERY: i32 = 10_000;

/// Why a question was not answered.
pub(super) struct Unanswered {
    /// Whether a file is to blame.
    pub(super) is_damage: bool,
    pub(super) error: SqlError,
}

/// Answers a question about the files of projections, each under its name.
pub(super) fn answer(query: &SqlQuery, files: &[(ProjectionName, PathBuf)]) -> Result<SqlRows, Unanswered> {
    let ends = Instant::now() + query.within;
    let unanswered = |found: &rusqlite::Error, error| Unanswered { is_damage: is_damage(found), error };
    let (connection, positions) =
        opened(files, ends).map_err(|error| unanswered(&error, failed("read", &error).into()))?;
    let (columns, rows, truncated) =
        ask(&connection, query).map_err(|error| unanswered(&error, refusal(query, ends, &error)))?;
    Ok(SqlRows { columns, rows, truncated, positions })
}

/// A connection that sees the files as they are now, and can do nothing but read them until a time.
fn opened(
    files: &[(ProjectionName, PathBuf)],
    ends: Instant,
) -> rusqlite::Result<(Connection, Vec<(ProjectionName, Position)>)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_MEMORY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(":memory:", flags)?;
    for (name, path) in files {
        let attach = format!("attach database ?1 as {}", quoted(name.as_str()));
        connection.execute(&attach, [uri(path)])?;
    }
    // One transaction for all: a file is from here on as it is when it is read first, which is now.
    connection.execute_batch("begin")?;
    let mut positions = Vec::new();
    for (name, _) in files {
        let sql = format!("select position from {}._weir_checkpoint", quoted(name.as_str()));
        let position: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        positions.push((name.clone(), Position(position.cast_unsigned())));
    }
    guard::bound(&connection)?;
    connection.authorizer(Some(|context: AuthContext<'_>| match guard::may_ask(&context) {
        true => Authorization::Allow,
        false => Authorization::Deny,
    }))?;
    connection.progress_handler(LOOK_EVERY, Some(move || Instant::now() >= ends))?;
    Ok((connection, positions))
}

type Answer = (Vec<String>, Vec<Vec<SqlValue>>, bool);

fn ask(connection: &Connection, query: &SqlQuery) -> rusqlite::Result<Answer> {
    let mut statement = connection.prepare(&query.statement.text)?;
    if statement.column_count() == 0 {
        return Err(rusqlite::Error::InvalidQuery);
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let parameters = query.statement.parameters.iter().map(bound);
    let mut found = statement.query(rusqlite::params_from_iter(parameters))?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        if rows.len() == query.rows_max {
            return Ok((columns, rows, true));
        }
        let mut values = Vec::with_capacity(columns.len());
        for at in 0..columns.len() {
            let value = value(row.get_ref(at)?);
            bytes += weight(&value);
            values.push(value);
        }
        if bytes > query.bytes_max {
            return Ok((columns, rows, true));
        }
        rows.push(values);
    }
    Ok((columns, rows, false))
}

fn value(found: ValueRef<'_>) -> SqlValue {
    match found {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(number) => SqlValue::Integer(number),
        ValueRef::Real(number) => SqlValue::Real(number),
        ValueRef::Text(text) => SqlValue::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => SqlValue::Blob(Bytes::copy_from_slice(bytes)),
    }
}

/// About what a value takes in an answer.
fn weight(value: &SqlValue) -> usize {
    match value {
        SqlValue::Null | SqlValue::Integer(_) | SqlValue::Real(_) => 16,
        SqlValue::Text(text) => 16 + text.len(),
        SqlValue::Blob(bytes) => 16 + bytes.len() * 4 / 3,
    }
}

fn refusal(query: &SqlQuery, ends: Instant, error: &rusqlite::Error) -> SqlError {
    match error {
        rusqlite::Error::SqliteFailure(failure, _)
            if failure.code == ErrorCode::OperationInterrupted || Instant::now() >= ends =>
        {
            SqlError::TimedOut { within: query.within }
        }
        rusqlite::Error::SqliteFailure(failure, _)
            if failure.code == ErrorCode::AuthorizationForStatementDenied =>
        {
            SqlError::Refused("SQL: not authorized, for a query only reads tables".into())
        }
        rusqlite::Error::InvalidQuery => SqlError::Refused("SQL: query gives no rows".into()),
        error if is_of_statement(error) => SqlError::Refused(told(error)),
        error => failed("read", error).into(),
    }
}

/// A name as SQL has it; names of projections hold no quote, and are quoted all the same.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A file that is only read, as a URI: what has a meaning there is escaped.
fn uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => uri.push((*byte).into()),
            byte if byte.is_ascii_alphanumeric() => uri.push((*byte).into()),
            byte => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?mode=ro");
    uri
}
