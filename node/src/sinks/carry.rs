//! Carries statements out, in their order, without waiting for one before the next is sent.

use std::{collections::VecDeque, error::Error, future::Future, pin::Pin, task::Poll};

use bytes::BytesMut;
use futures::poll;
use tokio_postgres::{
    Transaction,
    types::{Format, IsNull, ToSql, Type},
};
use weir_types::{Position, SqlFault, SqlStatement, SqlStep, SqlValue, limits};

use super::{fault::SinkError, postgres::within};

/// Statements that are sent and not answered.
const IN_FLIGHT_MAX: usize = 64;
/// What a statement may begin with: all else is of the connection or its transaction, which are not the author's.
const VERBS: [&str; 11] =
    ["insert", "update", "delete", "merge", "select", "with", "values", "truncate", "call", "do", "refresh"];

type Running<'a> = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'a>>;

/// Carries out the statements of events; or tells the first event whose statements are to blame.
pub(super) async fn carry_out(
    transaction: &Transaction<'_>,
    steps: &[SqlStep],
) -> Result<Option<SqlFault>, SinkError> {
    let mut sent: VecDeque<(Position, Running<'_>)> = VecDeque::new();
    for SqlStep { position, statements } in steps {
        for statement in statements {
            if let Err(message) = check(statement) {
                // What was sent before may be to blame before.
                let before = finish(&mut sent, 0).await?;
                return Ok(before.or(Some(SqlFault { position: *position, message })));
            }
            let mut running = run(transaction, statement);
            // The first poll sends it: so they are sent in the order of this loop.
            let running: Running<'_> = match poll!(&mut running) {
                Poll::Ready(result) => Box::pin(std::future::ready(result)),
                Poll::Pending => running,
            };
            sent.push_back((*position, running));
            if let Some(fault) = finish(&mut sent, IN_FLIGHT_MAX).await? {
                return Ok(Some(fault));
            }
        }
    }
    finish(&mut sent, 0).await
}

/// Waits until no more than so many are not answered; or tells the first that is to blame.
async fn finish(
    sent: &mut VecDeque<(Position, Running<'_>)>,
    left: usize,
) -> Result<Option<SqlFault>, SinkError> {
    while sent.len() > left {
        let Some((position, running)) = sent.pop_front() else { break };
        match within(running).await {
            Ok(_) => {}
            Err(SinkError::Fault(message)) => return Ok(Some(SqlFault { position, message })),
            Err(failed) => return Err(failed),
        }
    }
    Ok(None)
}

fn run<'a>(transaction: &'a Transaction<'_>, statement: &'a SqlStatement) -> Running<'a> {
    Box::pin(async move {
        let values: Vec<_> = statement.parameters.iter().map(Bound).collect();
        // Of no type that is known here: the database infers it from where the parameter stands.
        let typed = |value| (value as &(dyn ToSql + Sync), Type::UNKNOWN);
        let parameters: Vec<_> = values.iter().map(typed).collect();
        transaction.execute_typed(&statement.text, &parameters).await
    })
}

fn check(statement: &SqlStatement) -> Result<(), String> {
    let max = limits::SQL_TEXT_BYTES_MAX;
    let is_long = |value: &SqlValue| matches!(value, SqlValue::Text(text) if text.len() > max);
    if statement.text.len() > max || statement.parameters.iter().any(is_long) {
        return Err(format!("SQL: statement or parameter has over {max} bytes"));
    }
    let verb = first_word(&statement.text).to_ascii_lowercase();
    // A query may stand in brackets.
    if verb.is_empty() || VERBS.contains(&verb.as_str()) {
        return Ok(());
    }
    Err(format!("SQL: a statement may not begin with `{verb}`"))
}

/// The word that a statement begins with, after blanks and comments; empty when it begins with something else.
fn first_word(sql: &str) -> &str {
    let mut rest = sql.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, after)| after).trim_start()
        } else if let Some(comment) = rest.strip_prefix("/*") {
            after_comment(comment).trim_start()
        } else {
            break;
        };
    }
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    &rest[..end]
}

/// What follows a comment that has begun. Comments hold comments.
fn after_comment(mut rest: &str) -> &str {
    let mut depth = 1_u32;
    while depth > 0 {
        let (begin, end) = (rest.find("/*"), rest.find("*/"));
        let at = match (begin, end) {
            (Some(begin), Some(end)) if begin < end => {
                depth += 1;
                begin
            }
            (_, Some(end)) => {
                depth -= 1;
                end
            }
            (_, None) => return "",
        };
        rest = &rest[at + 2..];
    }
    rest
}

/// A parameter as text, of whatever type the database takes it for.
#[derive(Debug)]
struct Bound<'a>(&'a SqlValue);

impl ToSql for Bound<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            SqlValue::Null => return Ok(IsNull::Yes),
            SqlValue::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            SqlValue::Real(number) => out.extend_from_slice(number.to_string().as_bytes()),
            SqlValue::Text(text) => out.extend_from_slice(text.as_bytes()),
            SqlValue::Blob(bytes) => {
                out.extend_from_slice(b"\\x");
                bytes.iter().for_each(|byte| out.extend_from_slice(format!("{byte:02x}").as_bytes()));
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(kind, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_may_not_touch_its_transaction() {
        let refused = |text: &str| check(&SqlStatement { text: text.into(), parameters: vec![] }).is_err();
        for text in [
            "commit",
            " \n/* a /* b */ c */ -- d\n ROLLBACK",
            "Savepoint a",
            "begin",
            "set search_path to x",
            "prepare transaction 'x'",
            "create table a (b int)",
            "copy a to stdout",
            "/* no end",
        ] {
            assert_eq!(refused(text), !first_word(text).is_empty(), "{text}");
        }
        assert!(refused("commit") && refused("/**/-- x\nend"));
        for text in [
            "insert into a values ($1)",
            "-- why\nUPDATE a set b = 1",
            "(select 1)",
            "with x as (select 1) select 1",
        ] {
            assert!(!refused(text), "{text}");
        }
    }
}
