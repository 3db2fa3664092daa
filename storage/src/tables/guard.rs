//! What an author's SQL may do, and how much of it.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU32, Ordering},
};

use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};
use weir_types::limits;

use super::OWN;

/// Steps of the engine between two looks.
pub(super) const UNIT_STEPS: i32 = 10_000;

/// Functions whose result is no function of what they are given: of time, of chance, or of what was called before.
const NOT_DETERMINISTIC: [&str; 16] = [
    "random",
    "randomblob",
    "date",
    "time",
    "datetime",
    "julianday",
    "unixepoch",
    "strftime",
    "timediff",
    "current_date",
    "current_time",
    "current_timestamp",
    "changes",
    "total_changes",
    "last_insert_rowid",
    "load_extension",
];

/// Whose SQL is prepared and run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// Our own.
    Own,
    /// An author's definition of tables.
    Definition,
    /// A statement that an author's handler returned.
    Statement,
}

/// Watches over one connection.
pub(super) struct Guard {
    stage: Arc<AtomicU8>,
    units: Arc<AtomicU32>,
}

impl Guard {
    pub(super) fn set(connection: &mut Connection) -> rusqlite::Result<Self> {
        let stage = Arc::new(AtomicU8::new(Stage::Own as u8));
        let units = Arc::new(AtomicU32::new(0));
        let (now, used) = (stage.clone(), units.clone());
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            let allowed = match now.load(Ordering::Relaxed) {
                stage if stage == Stage::Own as u8 => true,
                stage if stage == Stage::Definition as u8 => may_define(&context),
                _ => may_change(&context),
            };
            if allowed { Authorization::Allow } else { Authorization::Deny }
        }))?;
        let now = stage.clone();
        connection.progress_handler(
            UNIT_STEPS,
            Some(move || {
                let is_own = now.load(Ordering::Relaxed) == Stage::Own as u8;
                !is_own && used.fetch_add(1, Ordering::Relaxed) >= limits::SQL_UNITS_MAX
            }),
        )?;
        bound(connection)?;
        Ok(Self { stage, units })
    }

    /// Does something of which no step is counted.
    pub(super) fn uncounted<T>(&self, does: impl FnOnce() -> T) -> T {
        let units = self.units.swap(0, Ordering::Relaxed);
        let done = does();
        self.units.store(units, Ordering::Relaxed);
        done
    }

    /// Does something in an author's name, with a measure of steps of its own.
    pub(super) fn within<T>(&self, stage: Stage, does: impl FnOnce() -> T) -> T {
        self.units.store(0, Ordering::Relaxed);
        self.stage.store(stage as u8, Ordering::Relaxed);
        let done = does();
        self.stage.store(Stage::Own as u8, Ordering::Relaxed);
        done
    }
}

/// Bounds what one statement may be.
pub(super) fn bound(connection: &Connection) -> rusqlite::Result<()> {
    let bytes = i32::try_from(limits::SQL_TEXT_BYTES_MAX).unwrap_or(i32::MAX);
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, bytes),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, bytes),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    Ok(())
}

fn is_own(table: &str) -> bool {
    begins(table, OWN)
}

fn is_schema(table: &str) -> bool {
    begins(table, "sqlite_")
}

/// Tables that the engine makes of itself and of the file as it lies on this node's disk.
fn is_of_engine(table: &str) -> bool {
    begins(table, "pragma_") || table.eq_ignore_ascii_case("dbstat")
}

/// What begins with `sqlite_` tells of the engine's build, and nodes may be of two builds for a while.
fn is_deterministic(function: &str) -> bool {
    !begins(function, "sqlite_") && !NOT_DETERMINISTIC.iter().any(|name| name.eq_ignore_ascii_case(function))
}

fn begins(name: &str, with: &str) -> bool {
    name.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

/// Tables, indexes and views of the file itself; SQLite notes them in tables of its own.
fn may_define(context: &AuthContext<'_>) -> bool {
    if context.database_name.is_some_and(|name| name != "main") {
        return false;
    }
    match context.action {
        AuthAction::CreateTable { table_name } => !is_own(table_name) && !is_of_engine(table_name),
        AuthAction::CreateIndex { table_name, .. } | AuthAction::Reindex { index_name: table_name } => {
            !is_own(table_name)
        }
        AuthAction::CreateView { view_name } => !is_own(view_name) && !is_of_engine(view_name),
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => is_schema(table_name),
        AuthAction::Read { table_name, .. } => !is_own(table_name) && !is_of_engine(table_name),
        AuthAction::Function { function_name } => is_deterministic(function_name),
        AuthAction::Select => true,
        _ => false,
    }
}

/// Rows of the author's tables.
fn may_change(context: &AuthContext<'_>) -> bool {
    match context.action {
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => !is_own(table_name) && !is_schema(table_name),
        AuthAction::Read { table_name, .. } => {
            !is_own(table_name) && !is_schema(table_name) && !is_of_engine(table_name)
        }
        AuthAction::Function { function_name } => is_deterministic(function_name),
        AuthAction::Select | AuthAction::Recursive => true,
        _ => false,
    }
}

/// What a question may do: read, also what is asked of the clock.
pub(super) fn may_ask(context: &AuthContext<'_>) -> bool {
    match context.action {
        AuthAction::Read { .. } | AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => !function_name.eq_ignore_ascii_case("load_extension"),
        _ => false,
    }
}
