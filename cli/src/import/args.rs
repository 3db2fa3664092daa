use std::{path::PathBuf, time::Duration};

use crate::duration::parse_duration;

#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The file, with a header line
    #[arg(long, value_name = "FILE")]
    pub(super) csv: PathBuf,
    /// A TOML file with the mapping; the flags below override it
    #[arg(long, value_name = "FILE")]
    pub(super) mapping: Option<PathBuf>,
    /// The column of the entity's id
    #[arg(long, value_name = "COLUMN", required_unless_present = "mapping")]
    pub(super) entity_id: Option<String>,
    /// The type of all entities
    #[arg(long, value_name = "TYPE", required_unless_present = "mapping")]
    pub(super) entity_type: Option<String>,
    /// The column of the event's name
    #[arg(long, value_name = "COLUMN", required_unless_present = "mapping")]
    pub(super) event_name: Option<String>,
    /// The column of the time when it happened
    #[arg(long, value_name = "COLUMN")]
    pub(super) occurred_at: Option<String>,
    /// auto, or a pattern such as %d.%m.%Y %H:%M:%S
    #[arg(long, value_name = "FORMAT")]
    pub(super) occurred_at_format: Option<String>,
    /// The zone of times without an offset, e.g. Europe/Berlin; UTC if not given
    #[arg(long, value_name = "ZONE")]
    pub(super) time_zone: Option<String>,
    /// The columns of the data; all others if not given
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub(super) data: Option<Vec<String>>,
    /// What to put before every event's name, e.g. order.
    #[arg(long, value_name = "TEXT")]
    pub(super) event_prefix: Option<String>,
    /// What to put before every entity's id
    #[arg(long, value_name = "TEXT")]
    pub(super) entity_prefix: Option<String>,
    /// What parts the columns
    #[arg(long, value_name = "CHARACTER")]
    pub(super) delimiter: Option<char>,
    /// Entities in flight
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(super) in_flight: u16,
    /// Consecutive rows of an entity in one append
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) batch: u16,
    /// One HTTP request for each append, in place of one session for all
    #[arg(long)]
    pub(super) unary: bool,
    /// How long one append is repeated before the import gives up
    #[arg(long, default_value = "2m", value_parser = parse_duration, value_name = "DURATION")]
    pub(super) patience: Duration,
    /// How long the import may take in all
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    pub(super) deadline: Option<Duration>,
}
