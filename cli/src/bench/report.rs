use serde::Serialize;

use super::{
    disk::DataLine,
    line::{HEAD, Line},
    machine::Machine,
};
use crate::{error::CliError, output::Output};

/// The version of the shape below; `docs/performance.md` describes it.
const SCHEMA_VERSION: u32 = 2;

/// What a bench reports.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// `weir-bench`.
    schema: &'static str,
    schema_version: u32,
    #[serde(flatten)]
    pub(super) work: Work,
    pub(super) machine: Machine,
    /// One result for each number in flight.
    pub(super) runs: Vec<Line>,
    /// One for each data folder that was named.
    pub(super) data: Vec<DataLine>,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Work {
    /// `append`, `transact`, `read`, `log`, `subscribe` or `view`.
    pub(super) operation: &'static str,
    /// `session` or `unary`, or the consistency of reads.
    pub(super) mode: &'static str,
    /// `closed` or `open`.
    pub(super) load: &'static str,
    /// `exact` or `any`; of appends alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) guard: Option<&'static str>,
    /// Bytes of data of an event.
    pub(super) size: usize,
    /// Events of an append or a transaction; of reads, the most in a page.
    pub(super) events_per_append: usize,
    /// Streams that took part.
    pub(super) streams: usize,
    /// Whether an invariant judged each append.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) invariant: bool,
}

impl Report {
    pub(super) fn new(work: Work, machine: Machine, runs: Vec<Line>, data: Vec<DataLine>) -> Self {
        Self { schema: "weir-bench", schema_version: SCHEMA_VERSION, work, machine, runs, data }
    }

    pub(super) fn show(&self, output: &Output) -> Result<(), CliError> {
        if output.is_json() {
            return output.json(self);
        }
        let rows: Vec<_> = self.runs.iter().map(Line::row).collect();
        output.table(HEAD, &rows)?;
        self.data.iter().for_each(|data| eprintln!("{}", data.text()));
        for (name, count) in self.runs.iter().flat_map(Line::errors) {
            eprintln!("{count} x {name}");
        }
        Ok(())
    }
}

/// The name of a load.
pub(super) fn load_of(rate: Option<u32>) -> &'static str {
    if rate.is_some() { "open" } else { "closed" }
}
