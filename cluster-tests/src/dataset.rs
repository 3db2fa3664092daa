//! Permit files: the real one, which is not in the repository, and a small one of our own making.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::binary::workspace;

/// The columns that say what an event is.
pub const CASE: &str = "case:concept:name";
/// As [`CASE`].
pub const ACTIVITY: &str = "concept:name";
/// As [`CASE`].
pub const TIME: &str = "time:timestamp";
/// As [`CASE`].
pub const DEPARTMENT: &str = "case:department";

/// One row: its columns by name.
pub type Row = BTreeMap<String, String>;

/// A permit file.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Where it is.
    pub path: PathBuf,
    /// Its rows by case, in the file's order within a case.
    pub cases: BTreeMap<String, Vec<Row>>,
}

impl Dataset {
    /// Where the real file is: `WEIR_PERMIT_DATA`, else beside the repository;
    /// nothing when it is not there.
    #[must_use]
    pub fn real() -> Option<PathBuf> {
        let named = std::env::var_os("WEIR_PERMIT_DATA").map(PathBuf::from);
        let path = named.unwrap_or_else(|| workspace().join("../shared/data/permit-applications.csv"));
        path.is_file().then_some(path)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is not there or is no CSV with the columns of [`CASE`].
    pub fn read(path: &Path) -> Result<Self> {
        let mut reader =
            csv::Reader::from_path(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut cases: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for row in reader.deserialize() {
            let row: Row = row.with_context(|| format!("{} is no CSV", path.display()))?;
            let case = row.get(CASE).with_context(|| format!("{} has no column {CASE}", path.display()))?;
            cases.entry(case.clone()).or_default().push(row);
        }
        Ok(Self { path: path.to_owned(), cases })
    }

    /// Writes a small file into `dir` and reads it: `cases` applications, 3 to 6 events each.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn small(dir: &Path, cases: usize) -> Result<Self> {
        let path = dir.join("small.csv");
        let mut file = csv::Writer::from_path(&path)?;
        file.write_record([CASE, DEPARTMENT, ACTIVITY, "org:group", TIME])?;
        let activities =
            ["Received", "Checked, once", "Asked \"why\"", "Decided", "Printed", "Größe geprüft"];
        for case in 0..cases {
            for (number, activity) in activities.iter().enumerate().take(3 + case % 4) {
                let department = ["General", "Experts", "Customer contact"][case % 3];
                let time = format!(
                    "2024-01-{:02} {:02}:30:{:02}.125000+01:00",
                    1 + case % 28,
                    8 + number,
                    case % 60
                );
                file.write_record([&format!("case-{case}"), department, activity, "Group 1", &time])?;
            }
        }
        file.flush()?;
        drop(file);
        Self::read(&path)
    }

    /// How many events it has.
    #[must_use]
    pub fn events(&self) -> usize {
        self.cases.values().map(Vec::len).sum()
    }
}
