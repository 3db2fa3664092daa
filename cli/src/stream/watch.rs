use std::{str::FromStr, time::Duration};

use weir_client::{Client, Notice, Subscribe, v1::EventView};

use super::read::row;
use crate::{error::CliError, output::Output};

/// What a pattern begins with; an entity whose id does too is named with `--stream`.
const PATTERNS: [&str; 4] = ["events:", "entity:", "topic:", "system."];

/// Events of a consumer group that are taken at once.
const TAKE_EVENTS: u64 = 16;
/// How long one of them is waited for at a time.
const TAKE_WAIT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// The entity, or a pattern: `entity:order.*`, `events:order.placed`, `>` for all
    #[arg(value_name = "ID|PATTERN", required_unless_present = "group", conflicts_with = "group")]
    target: Option<String>,
    /// Take events in the name of this consumer group, and settle each once it is shown
    #[arg(long, value_name = "GROUP", conflicts_with_all = ["from", "cursor", "conflate", "filter"])]
    group: Option<String>,
    /// Only events that this expression of CEL takes: `data.amount > 100`
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Where to begin; of a pattern a number is a position
    #[arg(long, default_value = "now", value_name = "now|start|VERSION|last:N")]
    from: From,
    /// Go on where an earlier watch was, as `--json` tells it
    #[arg(long, value_name = "CURSOR", conflicts_with = "from")]
    cursor: Option<String>,
    /// End after this many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Take the target for an entity, whatever it begins with
    #[arg(long)]
    stream: bool,
    /// Show of each stream only the newest event, where this terminal is slow
    #[arg(long)]
    conflate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Now,
    Start,
    Number(u64),
    Last(u64),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let illegal = |_| "not now, start, a version or last:N".to_owned();
        match text {
            "now" => Ok(Self::Now),
            "start" => Ok(Self::Start),
            _ => match text.strip_prefix("last:") {
                Some(count) => count.parse().map(Self::Last).map_err(illegal),
                None => text.parse().map(Self::Number).map_err(illegal),
            },
        }
    }
}

impl WatchArgs {
    /// Of a consumer group there is none.
    fn target(&self) -> &str {
        self.target.as_deref().unwrap_or_default()
    }

    fn is_pattern(&self) -> bool {
        let begins = PATTERNS.iter().any(|begin| self.target().starts_with(begin));
        !self.stream && (self.target() == ">" || begins)
    }

    fn wish(&self) -> Subscribe {
        let is_pattern = self.is_pattern();
        let wish =
            if is_pattern { Subscribe::pattern(self.target()) } else { Subscribe::stream(self.target()) };
        let wish = if self.conflate { wish.conflate() } else { wish };
        let wish = match &self.filter {
            Some(filter) => wish.filter(filter),
            None => wish,
        };
        if let Some(cursor) = &self.cursor {
            return wish.cursor(cursor);
        }
        match self.from {
            From::Now => wish,
            From::Start => wish.from_start(),
            From::Last(count) => wish.last(count),
            From::Number(first) if is_pattern => wish.after_position(first.saturating_sub(1)),
            From::Number(first) => wish.after_version(first.saturating_sub(1)),
        }
    }
}

/// Follows until the limit, Ctrl-C, an error that waiting does not heal, or the reader's end.
pub(super) async fn run(args: &WatchArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    tokio::select! {
        ended = follow_either(args, client, output) => ended,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(CliError::io("listen for Ctrl-C")),
    }
}

async fn follow_either(args: &WatchArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    match &args.group {
        Some(group) => take(group, args.limit, client, output).await,
        None => follow(args, client, output).await,
    }
}

/// Events of a consumer group, each settled when it is on stdout.
async fn take(group: &str, limit: Option<u64>, client: &Client, output: &Output) -> Result<(), CliError> {
    let mut left = limit.unwrap_or(u64::MAX);
    while left > 0 {
        for delivery in client.pull(group, left.min(TAKE_EVENTS), TAKE_WAIT).await? {
            left -= 1;
            match output.is_json() {
                true => {
                    let text = serde_json::to_string(&delivery);
                    output.line(&text.map_err(|error| CliError::Failed(error.to_string()))?)?;
                }
                false => output.line(&line(&delivery.event, true))?,
            }
            client.ack(group, &delivery).await?;
        }
    }
    Ok(())
}

async fn follow(args: &WatchArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let is_pattern = args.is_pattern();
    let mut subscription = client.subscribe(args.wish());
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        match subscription.next().await? {
            Notice::Event(event) => {
                left -= 1;
                match output.is_json() {
                    true => output.line(&with_cursor(&event, subscription.cursor())?)?,
                    false => output.line(&line(&event, is_pattern))?,
                }
            }
            Notice::LeftOut(mark) => eprintln!("{} events left out", mark.count.unwrap_or(0)),
            Notice::Lost(reason) => eprintln!("still waiting: {reason}"),
            Notice::Opened(_) | Notice::CaughtUp(_) | Notice::Heartbeat(_) => {}
        }
    }
    Ok(())
}

fn line(event: &EventView, with_entity: bool) -> String {
    let columns = row(event).map(|cell| cell.replace(['\t', '\n', '\r'], " "));
    match with_entity {
        true => format!("{}\t{}", event.entity_id.replace('\t', " "), columns.join("\t")),
        false => columns.join("\t"),
    }
}

/// The event as JSON, with the cursor as its last field: the data stays byte for byte.
fn with_cursor(event: &EventView, cursor: Option<&str>) -> Result<String, CliError> {
    let mut text = serde_json::to_string(event).map_err(|error| CliError::Failed(error.to_string()))?;
    if let (Some(cursor), Some('}')) = (cursor, text.pop()) {
        text.push_str(&format!(",\"cursor\":\"{cursor}\""));
    }
    text.push('}');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Watch {
        #[command(flatten)]
        args: WatchArgs,
    }

    #[test]
    fn a_beginning_is_a_word_a_number_or_the_last_events() {
        assert_eq!("now".parse(), Ok(From::Now));
        assert_eq!("start".parse(), Ok(From::Start));
        assert_eq!("7".parse(), Ok(From::Number(7)));
        assert_eq!("last:7".parse(), Ok(From::Last(7)));
        assert!("-1".parse::<From>().is_err() && "last:".parse::<From>().is_err());
    }

    #[test]
    fn a_target_is_a_pattern_when_it_looks_like_one() {
        let wish = |words: &[&str]| Watch::parse_from(words).args.wish();
        assert_eq!(wish(&["weir", "order-1", "--from", "3"]), Subscribe::stream("order-1").after_version(2));
        assert_eq!(wish(&["weir", ">", "--from", "3"]), Subscribe::pattern(">").after_position(2));
        assert_eq!(wish(&["weir", "events:x", "--stream"]), Subscribe::stream("events:x"));
        let last = wish(&["weir", "entity:order.*", "--from", "last:3"]);
        assert_eq!(last, Subscribe::pattern("entity:order.*").last(3));
        assert_eq!(wish(&["weir", "a", "--cursor", "c"]), Subscribe::stream("a").cursor("c"));
        let filtered = wish(&["weir", ">", "--filter", "data.n > 1", "--cursor", "c"]);
        assert_eq!(filtered, Subscribe::pattern(">").filter("data.n > 1").cursor("c"));
    }
}
