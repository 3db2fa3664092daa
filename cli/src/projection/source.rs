use std::{fs, path::Path};

use crate::{error::CliError, sandbox::Sandbox};

/// A projection's source: its file, with all that it imports behind it.
pub(super) async fn source(file: &Path, sandbox: Option<&dyn Sandbox>) -> Result<String, CliError> {
    let first = fs::read_to_string(file).map_err(CliError::io(format!("read `{}`", file.display())))?;
    let Some(sandbox) = sandbox else { return Ok(first) };
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let assembled = sandbox.assemble(first, folder).await;
    assembled.map_err(|reason| CliError::Failed(format!("`{}`: {reason}", file.display())))
}
