//! Questions in SQL about the tables of projections on this node.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep};
use weir_api::{
    ApiError, ErrorCode,
    v1::{SqlQuestion, SqlResult},
};
use weir_types::{
    Deployment, ProjectionId, ProjectionKind, ProjectionName, RegistryError, SqlError, SqlQuery,
    limits::{SQL_ANSWER_BYTES_MAX, SQL_PROJECTIONS_MAX, SQL_QUERIES_MAX},
};

use super::{
    Engine,
    projections::{kind_of, refusal, sink_of},
};

/// How long a question waits until all tables are as fresh as it asks for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Times that a question is asked while tables are made or replaced under it.
const TRIES: u32 = 4;
/// Before the second time, and that much longer before each after it.
const PAUSE: Duration = Duration::from_millis(50);

impl Engine {
    /// Answers a question about the tables of projections as they are at one moment on this node.
    ///
    /// # Errors
    /// `sql_invalid`, `projection_not_found`, `stale`, `projection_paused`, `overloaded`, `deadline_exceeded`,
    /// `invalid_request`, or a read error.
    pub async fn sql(&self, question: &SqlQuestion) -> Result<SqlResult, ApiError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let projections = self.with_tables(question).await?;
            let query = SqlQuery {
                statement: question.statement.clone(),
                projections,
                rows_max: question.rows_max,
                bytes_max: SQL_ANSWER_BYTES_MAX,
                within: question.within,
            };
            let turn = self.sql_turns.try_acquire().map_err(|_| {
                let message = format!("node carries out {SQL_QUERIES_MAX} queries, which is its limit");
                ApiError::new(ErrorCode::Overloaded, message).with("max", SQL_QUERIES_MAX)
            })?;
            let answer = self.tables.query(query).await;
            drop(turn);
            return match answer {
                Ok(rows) => Ok(SqlResult::new(&rows)),
                Err(SqlError::Refused(reason)) => Err(ApiError::new(ErrorCode::SqlInvalid, reason)),
                Err(error @ SqlError::TimedOut { .. }) => {
                    Err(ApiError::new(ErrorCode::DeadlineExceeded, error.to_string()))
                }
                // One that was just deployed may have no file yet; another may have taken over, and the file is gone.
                Err(SqlError::Read(_)) if tries < TRIES => {
                    sleep(PAUSE * tries).await;
                    continue;
                }
                Err(SqlError::Read(error)) => Err(error.into()),
            };
        }
    }

    /// The projections that a question sees, each folded as far as it asks for.
    async fn with_tables(
        &self,
        question: &SqlQuestion,
    ) -> Result<Vec<(ProjectionName, ProjectionId)>, ApiError> {
        let deployed = self.ports.views.deployments(self.group).await?;
        let asked = question.projections.as_deref();
        let (mut found, ends) = (Vec::new(), Instant::now() + PATIENCE);
        for one in asked_of(&deployed, asked)? {
            let patience = ends.saturating_duration_since(Instant::now());
            let reached = self.projections.reached(&one.name, question.consistency, patience).await;
            let (id, _) = reached.map_err(refusal)?;
            match kind_of(one, &id) {
                ProjectionKind::Sql if sink_of(one, &id).is_none() => found.push((one.name.clone(), id)),
                // What answers has no tables while one that has them catches up.
                _ if asked.is_none() => {}
                _ => return Err(ApiError::invalid(format!("projection `{}` has no tables yet", one.name))),
            }
        }
        Ok(found)
    }
}

/// The projections that are asked: those that were named, or all that have tables.
fn asked_of<'a>(
    deployed: &'a [Deployment],
    asked: Option<&[ProjectionName]>,
) -> Result<Vec<&'a Deployment>, ApiError> {
    let is_sql = |one: &Deployment| one.definition.kind == ProjectionKind::Sql;
    let has_tables = |one: &Deployment| is_sql(one) && one.definition.sink.is_none();
    let found: Vec<_> = match asked {
        None => deployed.iter().filter(|one| has_tables(one)).collect(),
        Some(names) => {
            let of_name = |name: &ProjectionName| {
                deployed.iter().find(|one| one.name == *name).ok_or(RegistryError::NotFound)
            };
            names.iter().map(of_name).collect::<Result<_, _>>()?
        }
    };
    if let Some(other) = found.iter().find(|one| !has_tables(one)) {
        let name = &other.name;
        return Err(ApiError::invalid(match &other.definition.sink {
            Some(sink) => {
                format!("the tables of projection `{name}` are in the sink `{sink}`: ask PostgreSQL itself")
            }
            None => format!("projection `{name}` has no tables"),
        }));
    }
    let count = found.len();
    if count > SQL_PROJECTIONS_MAX {
        return Err(ApiError::invalid(format!(
            "{count} projections have tables, and one query sees {SQL_PROJECTIONS_MAX}: name them in `projections`"
        )));
    }
    let mut schemas = BTreeSet::new();
    match found.iter().find(|one| !schemas.insert(one.name.as_str().to_ascii_lowercase())) {
        Some(one) => Err(ApiError::invalid(format!(
            "projection `{}` and another differ in case alone, which SQL does not see: name one in `projections`",
            one.name
        ))),
        None => Ok(found),
    }
}
