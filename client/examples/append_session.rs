//! Appends 10,000 events to 100 streams over one connection, 256 in flight.
//!
//! `cargo run -p weir-client --example append_session -- http://127.0.0.1:9123`

use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use weir_client::{Append, AppendSession, Client, ClientError};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:9123".into());
    let client = Client::connect([url]).await?;
    let session = AppendSession::open(&client.current_url(), 256).await?;

    let (run, begin) = (std::process::id(), Instant::now());
    let submitted = stream::iter(0..10_000_u64).then(|number| {
        let session = session.clone();
        async move {
            let append = Append::to(&format!("{run}-{}", number % 100), "counter")
                .expect_version(number / 100)
                .event("counted", &json!({ "number": number }))
                .build()?;
            session.submit(&append).await
        }
    });
    let answered = submitted.map_ok(|pending| pending.outcome()).try_buffer_unordered(256);
    let count = answered.try_fold(0_u64, |count, _| async move { Ok::<_, ClientError>(count + 1) }).await?;
    println!("{count} appends in {:?}", begin.elapsed());
    Ok(())
}
