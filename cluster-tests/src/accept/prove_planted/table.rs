use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::binary::workspace;

/// The table of what was caught, on disk row by row: a recipe of an hour may be ended before its end.
pub(super) struct Table {
    path: PathBuf,
    file: File,
}

impl Table {
    /// A new one in `target`, in place of the last.
    pub(super) fn create() -> Result<Self> {
        let path = workspace().join("target/planted.md");
        fs::create_dir_all(workspace().join("target"))?;
        let mut file = File::create(&path).context("cannot make the table")?;
        writeln!(file, "| bug | caught by | seconds | seed |\n| --- | --- | --- | --- |")?;
        Ok(Self { path, file })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts in a row, which is given back.
    pub(super) fn row(&mut self, row: &str) -> Result<String> {
        writeln!(self.file, "{row}").context("cannot write the table")?;
        Ok(row.to_owned())
    }
}
