use std::{str::FromStr, time::Duration};

use weir_client::{Client, ClientError, ReadOptions, Start};

use super::read::row;
use crate::{error::CliError, output::Output};

/// How long one question waits for an event.
const WAIT: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// The entity
    entity: String,
    /// Where to begin
    #[arg(long, default_value = "now", value_name = "now|start|VERSION")]
    from: From,
    /// End after this many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Now,
    Version(u64),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "now" => Ok(Self::Now),
            "start" => Ok(Self::Version(1)),
            number => number.parse().map(Self::Version).map_err(|_| "not now, start or a version".into()),
        }
    }
}

/// Follows until the limit, an error that waiting does not heal, or the reader's end.
pub(super) async fn run(args: &WatchArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let mut next = match args.from {
        From::Version(version) => version.max(1),
        From::Now => {
            let first = ReadOptions { page: Some(1), ..ReadOptions::default() };
            client.read_page(&args.entity, first).await?.version + 1
        }
    };
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let options = ReadOptions { start: Start::Version(next), wait: WAIT, ..ReadOptions::default() };
        let page = match client.read_page(&args.entity, options).await {
            Ok(page) => page,
            Err(error) => {
                patience(error)?;
                continue;
            }
        };
        for event in page.events.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            match output.is_json() {
                true => output.json(event)?,
                false => output.line(&row(event).join("\t"))?,
            }
            (next, left) = (event.version + 1, left - 1);
        }
    }
    Ok(())
}

/// Lost nodes come back: say so and go on. The client has paused between its tries.
fn patience(error: ClientError) -> Result<(), CliError> {
    if !error.is_retryable() {
        return Err(error.into());
    }
    eprintln!("still waiting: {error}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_word_or_a_version() {
        assert_eq!("now".parse(), Ok(From::Now));
        assert_eq!("start".parse(), Ok(From::Version(1)));
        assert_eq!("7".parse(), Ok(From::Version(7)));
        assert!("-1".parse::<From>().is_err());
    }
}
