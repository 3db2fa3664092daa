//! `weir openapi`

use clap::Args;

use crate::{error::CliError, output::Output};

/// It asks no server: the document is that of a server of this version.
#[derive(Debug, Args)]
pub struct OpenApiArgs {}

pub(crate) fn run(_: &OpenApiArgs, output: &Output) -> Result<(), CliError> {
    let document = weir_api::openapi::document(env!("CARGO_PKG_VERSION"));
    output.json_or(&document, |document| output.line(&format!("{document:#}")))
}
