use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_types::{Consistency, ProjectionName, SqlRows, SqlStatement, SqlValue, limits};

use super::read::{Freshness, consistency_of, limit_of};
use crate::{ApiError, number};

/// POST: ask about the tables of projections, in SQL. It changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SqlBody {
    /// One statement that reads.
    pub sql: String,
    /// What its parameters stand for, in their order: texts, numbers, booleans or nulls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Value>,
    /// The projections whose tables it sees, 10 at most; all that have tables if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projections: Option<Vec<String>>,
    /// A position that must be folded before the answer.
    #[serde(
        alias = "min_position",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_position: Option<u64>,
    /// `linearizable`: all that was acknowledged before must be folded. Absent: local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Freshness>,
    /// Rows of the answer, 1 to 10,000; 1,000 if not given.
    #[serde(default, deserialize_with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Milliseconds that it may take, at most 5,000, which it is if not given.
    #[serde(
        alias = "timeout_ms",
        default,
        deserialize_with = "number::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout_ms: Option<u64>,
}

/// A question, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlQuestion {
    /// What is asked.
    pub statement: SqlStatement,
    /// Whose tables it sees; all if not named.
    pub projections: Option<Vec<ProjectionName>>,
    /// How fresh they must be.
    pub consistency: Consistency,
    /// Rows of the answer.
    pub rows_max: usize,
    /// How long it may take.
    pub within: Duration,
}

impl SqlBody {
    /// The question.
    ///
    /// # Errors
    /// `invalid_request`, `invalid_name` or `too_large`.
    pub fn to_question(&self) -> Result<SqlQuestion, ApiError> {
        let names = self.projections.as_ref().map(|names| names.iter().map(ProjectionName::new).collect());
        let mut projections: Option<Vec<_>> = names.transpose()?;
        if let Some(projections) = &mut projections {
            projections.sort();
            projections.dedup();
        }
        let parameters = self.parameters.iter().map(value_of).collect::<Result<_, _>>()?;
        let within = self.timeout_ms.unwrap_or(limits::SQL_QUERY_MS_MAX).min(limits::SQL_QUERY_MS_MAX);
        Ok(SqlQuestion {
            statement: SqlStatement { text: self.sql.clone(), parameters },
            projections,
            consistency: consistency_of(self.consistency.or(Some(Freshness::Local)), self.min_position)?,
            rows_max: limit_of(self.limit, 1_000, limits::SQL_ROWS_MAX)?,
            within: Duration::from_millis(within),
        })
    }
}

fn value_of(value: &Value) -> Result<SqlValue, ApiError> {
    Ok(match value {
        Value::Null => SqlValue::Null,
        Value::Bool(flag) => SqlValue::Integer((*flag).into()),
        Value::String(text) => SqlValue::Text(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => SqlValue::Integer(whole),
            (None, Some(real)) => SqlValue::Real(real),
            (None, None) => return Err(ApiError::invalid(format!("parameter {number} is no number of SQL"))),
        },
        Value::Array(_) | Value::Object(_) => {
            return Err(ApiError::invalid("a parameter is a text, a number, a boolean or null"));
        }
    })
}

/// The answer to a question in SQL.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SqlResult {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a value for each column. Bytes are hexadecimal digits.
    pub rows: Vec<Vec<Value>>,
    /// How many rows these are.
    pub returned: usize,
    /// Whether there are more than the limits allow.
    pub truncated: bool,
    /// The position that the tables of each projection reflect.
    pub positions: BTreeMap<String, u64>,
}

impl SqlResult {
    /// The answer of these rows.
    #[must_use]
    pub fn new(found: &SqlRows) -> Self {
        let row = |row: &Vec<SqlValue>| row.iter().map(json_of).collect();
        let positions = found.positions.iter().map(|(name, at)| (name.as_str().to_owned(), at.0));
        Self {
            columns: found.columns.clone(),
            rows: found.rows.iter().map(row).collect(),
            returned: found.rows.len(),
            truncated: found.truncated,
            positions: positions.collect(),
        }
    }
}

/// An infinite number, which JSON has none of, is null.
fn json_of(value: &SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(number) => (*number).into(),
        SqlValue::Real(number) => serde_json::Number::from_f64(*number).map_or(Value::Null, Value::Number),
        SqlValue::Text(text) => text.as_str().into(),
        SqlValue::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_question_is_checked() {
        let of = |body: Value| serde_json::from_value::<SqlBody>(body).unwrap().to_question();
        let question = of(
            json!({ "sql": "s", "parameters": [1, 1.5, "t", true, null], "projections": ["b", "a", "b"] }),
        );
        let question = question.unwrap();
        assert_eq!(
            question.projections.unwrap().iter().map(ProjectionName::as_str).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!((question.statement.parameters.len(), question.rows_max), (5, 1_000));
        for bad in [
            json!({ "sql": "s", "parameters": [[]] }),
            json!({ "sql": "s", "limit": 0 }),
            json!({ "sql": "s", "limit": 10_001 }),
            json!({ "sql": "s", "projections": ["a b"] }),
        ] {
            assert!(of(bad.clone()).is_err(), "{bad}");
        }
    }
}
