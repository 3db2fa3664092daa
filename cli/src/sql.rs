//! `weir sql`: questions about the tables of projections.

use comfy_table::{Table, presets};
use serde_json::Value;
use weir_client::{
    Client,
    v1::{Freshness, SqlBody, SqlResult},
};

use crate::{error::CliError, output::Output};

#[derive(Debug, clap::Args)]
pub struct SqlArgs {
    /// One statement that reads
    sql: String,
    /// What a `?` stands for, in their order: JSON, or else a text
    #[arg(long = "param", value_name = "VALUE")]
    parameters: Vec<String>,
    /// A projection whose tables are seen; all that have tables if none is given
    #[arg(long = "projection", value_name = "NAME")]
    projections: Vec<String>,
    /// A position that must be folded before the answer
    #[arg(long, value_name = "POSITION", conflicts_with = "linearizable")]
    min_position: Option<u64>,
    /// Fold all that was acknowledged before, then answer
    #[arg(long)]
    linearizable: bool,
    /// Rows to show, at most 10,000
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

pub(crate) async fn run(args: &SqlArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let body = SqlBody {
        sql: args.sql.clone(),
        parameters: args.parameters.iter().map(|text| parameter(text)).collect(),
        projections: (!args.projections.is_empty()).then(|| args.projections.clone()),
        min_position: args.min_position,
        consistency: args.linearizable.then_some(Freshness::Linearizable),
        limit: args.limit,
        timeout_ms: None,
    };
    let result = client.sql(&body).await?;
    if output.is_json() {
        return output.json(&result);
    }
    print(&result, output)?;
    let positions: Vec<_> = result.positions.iter().map(|(name, at)| format!("{name}@{at}")).collect();
    let more = if result.truncated { ", and there are more" } else { "" };
    let rows = if result.returned == 1 { "row" } else { "rows" };
    let tables =
        if positions.is_empty() { String::new() } else { format!(", as of {}", positions.join(" ")) };
    eprintln!("{} {rows}{more}{tables}", result.returned);
    Ok(())
}

/// JSON where it is a value that a column holds, and else the text as it is.
fn parameter(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_))) => value,
        _ => text.into(),
    }
}

fn print(result: &SqlResult, output: &Output) -> Result<(), CliError> {
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows: Vec<Vec<String>> = result.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    if output.is_terminal() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(&result.columns);
        table.add_rows(&rows);
        return output.line(&table.trim_fmt());
    }
    let tabbed = |row: &[String]| {
        row.iter().map(|cell| cell.replace(['\t', '\n', '\r'], " ")).collect::<Vec<_>>().join("\t")
    };
    output.line(&tabbed(&result.columns))?;
    rows.iter().try_for_each(|row| output.line(&tabbed(row)))
}
