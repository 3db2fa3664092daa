use weir_client::Client;

use super::{pace::Pace, tally::Tally};

/// One reader that walks through the whole log, page after page, and begins again at its end.
pub(super) async fn walk(client: Client, page: u64, pace: Pace, tally: Tally) {
    let mut from = 1;
    while let Some(begin) = pace.next().await {
        match client.read_log(from, page).await {
            Ok(found) => {
                from = if found.events.is_empty() { 1 } else { found.next_position };
                tally.count(begin, Ok(found.events.len() as u64));
            }
            Err(error) => tally.count(begin, Err(&error)),
        }
    }
}
