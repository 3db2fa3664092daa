//! Moments of a stream's past, as arguments.

use weir_api::parse_timestamp;
use weir_types::{Moment, StreamVersion, Timestamp};

use crate::error::CliError;

/// What a stream is asked for as of.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MomentArgs {
    #[command(flatten)]
    prefix: PrefixArgs,
    /// Only what occurred until then
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Up to where a stream is asked for. What occurred until some time is no beginning of a stream, and no snapshot
/// leads there.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PrefixArgs {
    /// Only what was recorded until then: 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Only what is up to this version
    #[arg(long, value_name = "VERSION")]
    as_of_version: Option<u64>,
}

impl MomentArgs {
    /// The moment that is asked for.
    pub(crate) fn to_moment(&self) -> Result<Moment, CliError> {
        Ok(Moment { at: time(self.at.as_deref())?, ..self.prefix.to_moment()? })
    }
}

impl PrefixArgs {
    /// As [`MomentArgs::to_moment`].
    pub(crate) fn to_moment(&self) -> Result<Moment, CliError> {
        Ok(Moment {
            as_of: time(self.as_of.as_deref())?,
            at: None,
            as_of_version: self.as_of_version.map(StreamVersion),
        })
    }
}

fn time(text: Option<&str>) -> Result<Option<Timestamp>, CliError> {
    Ok(text.map(parse_timestamp).transpose()?)
}
