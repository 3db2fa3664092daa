//! Whether a row is in its stream already, beyond the window of idempotency keys.

use serde_json::Value;
use weir_api::parse_timestamp;
use weir_client::{Client, ClientError, ReadOptions, Start, v1::EventView};
use weir_types::NewEvent;

use super::rows::Row;

/// Compares the stream's events at the rows' versions with the rows. `None`
/// when all are equal, else what is not.
pub(super) async fn difference(client: &Client, rows: &[Row]) -> Result<Option<String>, ClientError> {
    let first = rows.first().expect("there is at least one row");
    let options = ReadOptions {
        start: Start::Version(first.version),
        page: Some(rows.len() as u64),
        ..ReadOptions::default()
    };
    let page = client.read_page(first.entity_id.as_str(), options).await?;
    for (at, row) in rows.iter().enumerate() {
        let place = || format!("line {}: `{}` at version {}", row.line, row.entity_id, row.version);
        match page.events.get(at) {
            None => return Ok(Some(format!("{}: stream is at {}", place(), page.version))),
            Some(stored) if stored.version != row.version || !same(stored, &row.event) => {
                return Ok(Some(format!("{}: stream holds another `{}`", place(), stored.name)));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

fn same(stored: &EventView, row: &NewEvent) -> bool {
    let time = stored.occurred_at.as_deref().map(parse_timestamp);
    let data = serde_json::from_slice::<Value>(&row.data).ok();
    stored.name == row.name.as_str()
        && time.transpose().is_ok_and(|time| time == row.occurred_at)
        && stored.data.to_value().ok() == data
}
