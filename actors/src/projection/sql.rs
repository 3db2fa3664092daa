use std::sync::Arc;

use serde_json::{Value, value::RawValue};
use tokio::sync::OnceCell;
use tracing::{info, warn};
use weir_types::{
    GroupId, Position, ProjectionDefinition, ProjectionId, ProjectionKind, ReadError, RecordedEvent,
    SqlFault, SqlStatement, SqlStep, SqlValue, TableChange, TablesDefinition, limits,
    ports::{Checkpoint, TableStore, ViewChange, ViewStore},
};
use xxhash_rust::xxh3::Xxh3;

use super::fold::FoldError;
use crate::{
    off_runtime::off_runtime,
    reducer::{Fault, FoldFailure, FoldResult, ThreadError, inspect_tables},
};

/// The tables of one generation, into which its statements go.
///
/// Invariant: tables and their checkpoint are one transaction. The checkpoint
/// among the views follows them, and is set right when a fold begins.
pub(super) struct IntoTables {
    id: ProjectionId,
    store: Arc<dyn TableStore>,
    definition: TablesDefinition,
    opened: OnceCell<()>,
}

/// What a batch led to, before it is carried out.
pub(super) struct Statements(Vec<(SqlStep, u64)>);

/// How much of what a node holds of a projection is in its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// All of it.
    Whole,
    /// Not all: the node has forgotten it, and is to fold it again.
    Lost,
}

impl IntoTables {
    /// The tables of a projection, if it is one of those that fold into some.
    pub(super) async fn of(
        id: &ProjectionId,
        definition: &ProjectionDefinition,
        store: Option<Arc<dyn TableStore>>,
    ) -> Result<Option<Self>, FoldError> {
        if definition.kind != ProjectionKind::Sql {
            return Ok(None);
        }
        let none = |reason: &str| ReadError::Unavailable { reason: reason.into() };
        let store = store.ok_or_else(|| none("this node keeps no tables"))?;
        let source = definition.source.clone();
        let inspected = off_runtime(move || inspect_tables(&source)).await;
        let inspected = inspected.map_err(|_| ThreadError::Gone)?;
        let tables = inspected.map_err(|error| none(&error.to_string()))?;
        let definition = tables.ok_or_else(|| none("source defines no tables"))?;
        Ok(Some(Self { id: id.clone(), store, definition, opened: OnceCell::new() }))
    }

    /// Sets the checkpoint among the views to what the tables reflect, and gives it: a node may have ended between
    /// the two writes, and a file may be lost, damaged or behind. What is in a sink is left as it is until
    /// [`Self::reach`]: a database outside may keep who asks it waiting.
    pub(super) async fn settle(
        &self,
        group: GroupId,
        views: &Arc<dyn ViewStore>,
        stored: Checkpoint,
    ) -> Result<Checkpoint, ReadError> {
        if self.definition.sink.is_some() {
            return Ok(stored);
        }
        let mut held = self.store.open(&self.id, &self.definition).await?;
        if (held.position, held.digest) == (stored.position, stored.digest) {
            return Ok(stored);
        }
        let (ahead, letters) = (held.position > stored.position, held.dead_letters == stored.dead_letters);
        if !letters || (!ahead && stored.dead_letters > 0) {
            // A dead letter would be lost, or be there twice.
            self.store.forget(&self.id).await?;
            held = self.store.open(&self.id, &self.definition).await?;
        }
        let (from, to) = (stored.position, held.position);
        info!(projection = %self.id.name, deployed = %self.id.deployed, %from, %to, "checkpoint follows the tables");
        let ahead = held.position > stored.position;
        if !ahead {
            views.forget(group, &self.id).await?;
        }
        let checkpoint = Checkpoint { serves: stored.serves, ..held };
        let change = ViewChange { checkpoint: checkpoint.clone(), ..ViewChange::default() };
        views.commit(group, &self.id, change).await?;
        Ok(checkpoint)
    }

    /// Makes tables in a sink if there are none, and tells whether they hold all that is stored here.
    ///
    /// A sink that is ahead is as it should be: another node was first. This one folds on from where it is, so that its
    /// digest and its dead letters are of what it folded itself, and the sink leaves out what it has. One that is
    /// behind has lost what it had taken, as a database does that is set up anew from a backup: what this node holds
    /// of the projection is forgotten, and all is folded again, of which the sink takes what it lacks.
    pub(super) async fn reach(
        &self,
        group: GroupId,
        views: &Arc<dyn ViewStore>,
        stored: &Checkpoint,
    ) -> Result<Reached, ReadError> {
        if self.definition.sink.is_none() {
            return Ok(Reached::Whole);
        }
        let held = self.store.open(&self.id, &self.definition).await?;
        if held.position >= stored.position {
            return Ok(Reached::Whole);
        }
        let (from, to) = (stored.position, held.position);
        warn!(projection = %self.id.name, deployed = %self.id.deployed, %from, %to, "sink has lost what it had taken");
        views.forget(group, &self.id).await?;
        let checkpoint = Checkpoint { serves: stored.serves, ..Checkpoint::default() };
        views.commit(group, &self.id, ViewChange { checkpoint, ..ViewChange::default() }).await?;
        Ok(Reached::Lost)
    }

    /// What a fold's result holds of statements; its digest is theirs then, and it has no views.
    pub(super) fn statements(
        &self,
        result: FoldResult,
        events: &[RecordedEvent],
    ) -> (FoldResult, Statements) {
        let mut steps = Vec::new();
        for (_, view) in &result.views {
            let told: Vec<(u64, Box<RawValue>)> =
                serde_json::from_slice(&view.state).expect("what the sandbox collects is its own JSON");
            for (position, raw) in told {
                match step_of(Position(position), &raw) {
                    Ok(step) => steps.push((step, digest(Position(position), &raw))),
                    Err(fault) => return cut(result, Statements(steps), events, &fault),
                }
            }
        }
        let digest_delta = steps.iter().fold(0_u64, |sum, (_, digest)| sum.wrapping_add(*digest));
        (FoldResult { digest_delta, views: Vec::new(), ..result }, Statements(steps))
    }

    /// Carries statements out in one transaction with the checkpoint after them; or tells the event that is to blame.
    pub(super) async fn commit(
        &self,
        statements: &Statements,
        (after, checkpoint): (&Checkpoint, &Checkpoint),
        skipped: Option<SqlFault>,
    ) -> Result<Option<SqlFault>, ReadError> {
        let open = async || self.store.open(&self.id, &self.definition).await.map(drop);
        self.opened.get_or_try_init(open).await?;
        let steps = statements.0.iter().map(|(step, _)| step.clone()).collect();
        let change = TableChange { after: after.position, checkpoint: checkpoint.clone(), steps, skipped };
        self.store.commit(&self.id, change).await
    }
}

/// The result up to an event whose statements are to blame, which it fails at.
pub(super) fn cut(
    result: FoldResult,
    statements: Statements,
    events: &[RecordedEvent],
    fault: &SqlFault,
) -> (FoldResult, Statements) {
    let mut steps = statements.0;
    steps.retain(|(step, _)| step.position < fault.position);
    let passed = events.partition_point(|event| event.position < fault.position);
    assert!(passed < events.len(), "an event that is to blame is one of the batch");
    let failure = FoldFailure {
        position: fault.position,
        event: events[passed].name.as_str().to_owned(),
        fault: Fault::new(fault.message.clone()),
    };
    let digest_delta = steps.iter().fold(0_u64, |sum, (_, digest)| sum.wrapping_add(*digest));
    let result = FoldResult {
        passed,
        handled: steps.len() as u64,
        failure: Some(failure),
        views: Vec::new(),
        digest_delta,
        ..result
    };
    (result, Statements(steps))
}

/// The digest of what one event leads to: two nodes that carried out the same have the same sum.
fn digest(position: Position, statements: &RawValue) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&position.0.to_le_bytes());
    hasher.update(statements.get().as_bytes());
    hasher.digest()
}

fn step_of(position: Position, statements: &RawValue) -> Result<SqlStep, SqlFault> {
    let fault = |message: String| SqlFault { position, message };
    let told: Vec<Vec<Value>> = serde_json::from_str(statements.get())
        .map_err(|error| fault(format!("statements are not readable: {error}")))?;
    let max = limits::SQL_STATEMENTS_MAX;
    if told.len() > max {
        return Err(fault(format!("event leads to {} statements, over the limit of {max}", told.len())));
    }
    let statements = told.into_iter().map(|told| {
        let mut values = told.into_iter();
        let text = match values.next() {
            Some(Value::String(text)) => text,
            _ => return Err(fault("statement has no text".into())),
        };
        Ok(SqlStatement { text, parameters: values.map(parameter).collect() })
    });
    Ok(SqlStep { position, statements: statements.collect::<Result<_, _>>()? })
}

/// A parameter as SQL has it; whole numbers and truth values are integers.
fn parameter(value: Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Bool(flag) => SqlValue::Integer(flag.into()),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => SqlValue::Integer(whole),
            None => SqlValue::Real(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => SqlValue::Text(text),
        // The sandbox lets none through.
        other @ (Value::Array(_) | Value::Object(_)) => SqlValue::Text(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_values_of_columns() {
        let raw =
            RawValue::from_string(r#"[["s",1,1.5,true,null,"t",1e300,9007199254740993]]"#.into()).unwrap();
        let step = step_of(Position(1), &raw).unwrap();
        let expected = [
            SqlValue::Integer(1),
            SqlValue::Real(1.5),
            SqlValue::Integer(1),
            SqlValue::Null,
            SqlValue::Text("t".into()),
            SqlValue::Real(1e300),
            SqlValue::Integer(9_007_199_254_740_993),
        ];
        assert_eq!(
            (step.statements[0].text.as_str(), &step.statements[0].parameters[..]),
            ("s", &expected[..])
        );
    }

    #[test]
    fn an_event_may_not_lead_to_any_number_of_statements() {
        let many = vec![["s"]; limits::SQL_STATEMENTS_MAX + 1];
        let raw = RawValue::from_string(serde_json::to_string(&many).unwrap()).unwrap();
        assert!(step_of(Position(1), &raw).unwrap_err().message.contains("over the limit"));
    }
}
