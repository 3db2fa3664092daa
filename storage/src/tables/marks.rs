//! Which generations have tables in a sink: a file for each, so that they are dropped there also when this node was
//! down while they were removed.

use std::{fs, io, path::PathBuf};

use weir_types::{ProjectionId, ReadError, SinkName};

use super::{failed, read_name};

const ENDING: &str = ".sink";

/// The marks of one node. Every call blocks.
#[derive(Debug, Clone)]
pub struct SinkMarks {
    dir: PathBuf,
}

impl SinkMarks {
    /// The marks in a folder, which is made when there is something to put into it.
    #[must_use]
    pub fn in_folder(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Notes that a generation has, or will have, tables in a sink.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn put(&self, id: &ProjectionId, sink: &SinkName) -> Result<(), ReadError> {
        fs::create_dir_all(&self.dir).map_err(|error| failed("mark", &error))?;
        fs::write(self.path(id), sink.as_str()).map_err(|error| failed("mark", &error))
    }

    /// Notes that it has none any more.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn remove(&self, id: &ProjectionId) -> Result<(), ReadError> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("unmark", &error)),
            _ => Ok(()),
        }
    }

    /// The sink of a generation, if it has tables in one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn of(&self, id: &ProjectionId) -> Result<Option<SinkName>, ReadError> {
        match fs::read_to_string(self.path(id)) {
            // A node that ended while it wrote the name had not asked the sink yet.
            Ok(name) => Ok(SinkName::new(name).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read marks of", &error)),
        }
    }

    /// The generations that have tables in a sink.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn kept(&self) -> Result<Vec<ProjectionId>, ReadError> {
        let files = match fs::read_dir(&self.dir) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list marks of", &error)),
        };
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| read_name(&name, ENDING)).collect())
    }

    fn path(&self, id: &ProjectionId) -> PathBuf {
        self.dir.join(format!("{}@{}{ENDING}", id.name, id.deployed))
    }
}
