//! `weir group …`

use std::time::Duration;

use clap::Subcommand;
use weir_client::{
    Client,
    v1::{ConsumerGroupBody, ConsumerGroupChange, DeadLettersQuery, GroupAckMode, GroupStatus},
};

use crate::{duration::parse_duration, error::CliError, output::Output, projection::done};

#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Make a consumer group
    Create(CreateArgs),
    /// List consumer groups
    #[command(alias = "ls")]
    List,
    /// Show a consumer group, and how far it is
    Show {
        /// The group
        group: String,
    },
    /// Change the terms of a consumer group; what is not named stays as it is
    Set(SetArgs),
    /// Hand out nothing for now; verdicts are still taken
    Pause {
        /// The group
        group: String,
    },
    /// Go on handing out
    Resume {
        /// The group
        group: String,
    },
    /// Remove a consumer group with its dead letters
    #[command(alias = "rm")]
    Delete {
        /// The group
        group: String,
    },
    /// List events that the group has given up
    DeadLetters {
        /// The group
        group: String,
        /// Only those after this position
        #[arg(long, value_name = "POSITION")]
        after: Option<u64>,
        /// Dead letters to show
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Hand dead letters out again
    Replay {
        /// The group
        group: String,
        /// Which
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "POSITION")]
        positions: Vec<u64>,
        /// As many as may be at once
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// Its name
    group: String,
    /// Which events it hands out: `entity:order.*`, `events:order.placed`, `>` for all
    pattern: String,
    /// Begin after this position, 0 is the log's beginning; what is there now without it
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Debug, clap::Args)]
pub struct SetArgs {
    /// The group
    group: String,
    #[command(flatten)]
    terms: Terms,
}

/// What may be said of a group when it is made, and later.
#[derive(Debug, clap::Args)]
struct Terms {
    /// Only events that this expression of CEL takes: `data.amount > 100`; empty for all of the pattern
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Events that are with consumers at once
    #[arg(long, value_name = "N")]
    max_in_flight: Option<u64>,
    /// How long a consumer has for an event
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    ack_deadline: Option<Duration>,
    /// How often an event is handed out again before it is dead
    #[arg(long, value_name = "N")]
    max_redeliveries: Option<u64>,
    /// How long an event rests that a consumer could not do
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    redeliver_delay: Option<Duration>,
    /// What settles an event that is sent to a `JoinConsumerGroup`: that it is sent, or a verdict
    #[arg(long, value_name = "auto|manual")]
    ack_mode: Option<AckMode>,
}

/// What settles an event that is sent to who takes no verdicts.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum AckMode {
    Auto,
    Manual,
}

impl From<AckMode> for GroupAckMode {
    fn from(mode: AckMode) -> Self {
        match mode {
            AckMode::Auto => Self::Auto,
            AckMode::Manual => Self::Manual,
        }
    }
}

impl CreateArgs {
    fn body(&self) -> ConsumerGroupBody {
        let ConsumerGroupChange {
            filter,
            description,
            max_in_flight,
            ack_deadline_ms,
            max_redeliveries,
            redeliver_delay_ms,
            ack_mode,
            ..
        } = self.terms.change();
        ConsumerGroupBody {
            name: self.group.clone(),
            pattern: self.pattern.clone(),
            filter,
            description,
            after_position: self.after,
            max_in_flight,
            ack_deadline_ms,
            max_redeliveries,
            redeliver_delay_ms,
            status: None,
            ack_mode,
        }
    }
}

impl Terms {
    fn change(&self) -> ConsumerGroupChange {
        let ms = |time: Option<Duration>| time.and_then(|time| u64::try_from(time.as_millis()).ok());
        ConsumerGroupChange {
            filter: self.filter.clone(),
            description: self.description.clone(),
            max_in_flight: self.max_in_flight,
            ack_deadline_ms: ms(self.ack_deadline),
            max_redeliveries: self.max_redeliveries,
            redeliver_delay_ms: ms(self.redeliver_delay),
            ack_mode: self.ack_mode.map(GroupAckMode::from),
            ..ConsumerGroupChange::default()
        }
    }
}

pub(crate) async fn run(command: &GroupCommand, client: &Client, output: &Output) -> Result<(), CliError> {
    match command {
        GroupCommand::Create(args) => {
            let group = client.create_consumer_group(&args.body()).await?;
            let after = group.after_position.unwrap_or(0);
            output.json_or(&group, |group| output.line(&format!("{} begins after {after}", group.name)))
        }
        GroupCommand::List => list(client, output).await,
        GroupCommand::Show { group } => show(group, client, output).await,
        GroupCommand::Set(SetArgs { group, terms }) => {
            let change = terms.change();
            if change == ConsumerGroupChange::default() {
                let message = "nothing is to be changed: name a term, such as --max-in-flight";
                return Err(CliError::Usage(message.into()));
            }
            let changed = client.change_consumer_group(group, &change).await?;
            output.json_or(&changed, |changed| output.line(&format!("{} is changed", changed.name)))
        }
        GroupCommand::Pause { group } => {
            let paused = client.pause_consumer_group(group).await?;
            output.json_or(&paused, |paused| output.line(&format!("{} is paused", paused.name)))
        }
        GroupCommand::Resume { group } => {
            let resumed = client.resume_consumer_group(group).await?;
            output.json_or(&resumed, |resumed| output.line(&format!("{} hands out again", resumed.name)))
        }
        GroupCommand::Delete { group } => {
            client.delete_consumer_group(group).await?;
            done(output, "deleted")
        }
        GroupCommand::DeadLetters { group, after, limit } => {
            let query = DeadLettersQuery { after: *after, limit: *limit };
            dead_letters(group, &query, client, output).await
        }
        GroupCommand::Replay { group, positions, all } => {
            let positions = (!all).then(|| positions.clone());
            let replayed = client.replay(group, positions).await?;
            let told = serde_json::json!({ "replayed": replayed });
            output.json_or(&told, |_| output.line(&format!("{replayed} handed out again")))
        }
    }
}

async fn list(client: &Client, output: &Output) -> Result<(), CliError> {
    let list = client.consumer_groups().await?;
    if output.is_json() {
        return output.json(&list);
    }
    let rows = list.groups.iter().map(|group| {
        let after = group.after_position.unwrap_or(0).to_string();
        [group.name.clone(), group.pattern.clone(), after, status_of(group).to_owned()]
    });
    output.table(["GROUP", "PATTERN", "AFTER", "STATUS"], &rows.collect::<Vec<_>>())
}

fn status_of(group: &ConsumerGroupBody) -> &'static str {
    match group.status {
        Some(GroupStatus::Paused) => "paused",
        Some(GroupStatus::Active) | None => "active",
    }
}

async fn show(name: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    let view = client.consumer_group(name).await?;
    if output.is_json() {
        return output.json(&view);
    }
    let number = |given: Option<u64>| given.unwrap_or(0).to_string();
    let status = status_of(&view.group).to_owned();
    output.facts(&[
        ("group", view.group.name),
        ("pattern", view.group.pattern),
        ("filter", view.group.filter.unwrap_or_default()),
        ("status", status),
        ("checkpoint", view.checkpoint.to_string()),
        ("looked", view.looked.to_string()),
        ("in flight", view.in_flight.to_string()),
        ("resting", view.resting.to_string()),
        ("waiting", view.waiting.to_string()),
        ("max in flight", number(view.group.max_in_flight)),
        ("ack deadline ms", number(view.group.ack_deadline_ms)),
        ("max redeliveries", number(view.group.max_redeliveries)),
        ("redeliver delay ms", number(view.group.redeliver_delay_ms)),
    ])
}

async fn dead_letters(
    name: &str,
    query: &DeadLettersQuery,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let page = client.dead_letters(name, query).await?;
    if output.is_json() {
        return output.json(&page);
    }
    let rows = page.dead_letters.iter().map(|letter| {
        [
            letter.position.to_string(),
            letter.entity_id.clone(),
            letter.name.clone(),
            letter.attempts.to_string(),
            letter.cause.clone(),
            letter.at.clone(),
        ]
    });
    output.table(["POSITION", "ENTITY", "NAME", "ATTEMPTS", "CAUSE", "AT"], &rows.collect::<Vec<_>>())
}
