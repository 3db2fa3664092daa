//! Moments of a stream's past, as arguments.

use weir_api::parse_timestamp;
use weir_types::{Moment, StreamVersion};

use crate::error::CliError;

/// What a stream is asked for as of.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MomentArgs {
    /// Only what was recorded until then: 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Only what occurred until then
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Only what is up to this version
    #[arg(long, value_name = "VERSION")]
    as_of_version: Option<u64>,
}

impl MomentArgs {
    /// The moment that is asked for.
    pub(crate) fn to_moment(&self) -> Result<Moment, CliError> {
        let time = |text: &Option<String>| text.as_deref().map(parse_timestamp).transpose();
        Ok(Moment {
            as_of: time(&self.as_of)?,
            at: time(&self.at)?,
            as_of_version: self.as_of_version.map(StreamVersion),
        })
    }
}
