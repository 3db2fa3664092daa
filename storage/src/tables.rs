//! The tables of SQL projections, in SQLite: a file for each generation.
//!
//! Invariants:
//! - A file holds the fold of the events up to the checkpoint in it, for both are one transaction.
//! - What an author's statement does is a function of the statement and of the file: no clock, no chance, no other file.
//! - A file is derived from the log. One that is damaged is deleted, and made anew by a fold from the beginning.
//!
//! A file's name is its projection's, an `@` and the log index of its generation.

mod file;
mod guard;
mod marks;
mod query;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use tracing::warn;
use weir_types::{
    LogIndex, ProjectionId, ProjectionName, ReadError, SqlError, SqlFault, SqlQuery, SqlRows, SqlStep,
    ports::Checkpoint,
};

use self::file::File;
pub use self::marks::SinkMarks;

/// The table that holds the checkpoint. Names that begin so are no author's.
const OWN: &str = "_weir_";
const ENDING: &str = ".sqlite";

/// The tables of one node. Clones share them. Every call blocks.
#[derive(Clone)]
pub struct Tables {
    dir: PathBuf,
    open: Arc<Mutex<HashMap<ProjectionId, Arc<Mutex<File>>>>>,
    /// Held while a file is opened or deleted, so that none is open that is not there. It is not the lock of those
    /// that are open, for a large file takes long to check.
    coming_and_going: Arc<Mutex<()>>,
}

impl Tables {
    /// The tables in a folder, which is made when there is something to put into it.
    #[must_use]
    pub fn in_folder(dir: PathBuf) -> Self {
        Self { dir, open: Arc::default(), coming_and_going: Arc::default() }
    }

    /// Says what is wrong with a definition of tables, if anything is.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(tables: &str) -> Result<(), String> {
        File::check(tables).map_err(|error| error.to_string())
    }

    /// See [`weir_types::ports::TableStore::open`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(&self, id: &ProjectionId, tables: &str) -> Result<Checkpoint, ReadError> {
        let _alone = lock(&self.coming_and_going);
        let held = self.opened().get(id).cloned();
        if let Some(file) = held {
            let checkpoint = lock(&file).checkpoint();
            return checkpoint.map_err(|error| self.let_go(id, "read", &error));
        }
        fs::create_dir_all(&self.dir).map_err(|error| failed("create", &error))?;
        let path = self.path(id);
        let opened = match File::open(&path, Some(tables)) {
            Err(error) if error.is_damage() => {
                warn!(projection = %id.name, deployed = %id.deployed, %error, "damaged tables are made anew");
                remove(&path).map_err(|error| failed("delete", &error))?;
                File::open(&path, Some(tables))
            }
            other => other,
        };
        let (file, checkpoint) = opened.map_err(|error| failed("open", &error))?;
        self.opened().insert(id.clone(), Arc::new(Mutex::new(file)));
        Ok(checkpoint)
    }

    /// See [`weir_types::ports::TableStore::commit`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn commit(
        &self,
        id: &ProjectionId,
        checkpoint: &Checkpoint,
        steps: &[SqlStep],
    ) -> Result<Option<SqlFault>, ReadError> {
        let file = self.opened().get(id).cloned();
        let file = file.ok_or_else(|| ReadError::Unavailable { reason: "tables are not open".into() })?;
        let done = lock(&file).commit(checkpoint, steps);
        match done {
            Ok(fault) => Ok(fault),
            Err(error) => Err(self.let_go(id, "write", &error)),
        }
    }

    /// See [`weir_types::ports::TableStore::forget`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn forget(&self, id: &ProjectionId) -> Result<(), ReadError> {
        let _alone = lock(&self.coming_and_going);
        self.opened().remove(id);
        remove(&self.path(id)).map_err(|error| failed("delete", &error))
    }

    /// See [`weir_types::ports::TableStore::kept`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn kept(&self) -> Result<Vec<ProjectionId>, ReadError> {
        let files = match fs::read_dir(&self.dir) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", &error)),
        };
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| read_name(&name, ENDING)).collect())
    }

    /// See [`weir_types::ports::TableStore::query`].
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn query(&self, query: &SqlQuery) -> Result<SqlRows, SqlError> {
        let mut files = Vec::new();
        for (name, id) in &query.projections {
            self.be_written(id)?;
            files.push((name.clone(), self.path(id)));
        }
        query::answer(query, &files).map_err(|unanswered| {
            if unanswered.is_damage {
                // The fold finds its file closed at its next step, and sees what is wrong when it opens it again.
                query.projections.iter().for_each(|(_, id)| drop(self.opened().remove(id)));
            }
            unanswered.error
        })
    }

    /// Closes a file that failed: whether it is damaged is seen when it is opened again.
    fn let_go(&self, id: &ProjectionId, verb: &str, error: &rusqlite::Error) -> ReadError {
        self.opened().remove(id);
        failed(verb, error)
    }

    /// Opens the file for writing if nobody has: who only reads cannot make what readers and writers share.
    fn be_written(&self, id: &ProjectionId) -> Result<(), ReadError> {
        if self.opened().contains_key(id) {
            return Ok(());
        }
        let _alone = lock(&self.coming_and_going);
        if !self.opened().contains_key(id) {
            let (file, _) = File::open(&self.path(id), None).map_err(|error| failed("open", &error))?;
            self.opened().insert(id.clone(), Arc::new(Mutex::new(file)));
        }
        Ok(())
    }

    fn path(&self, id: &ProjectionId) -> PathBuf {
        self.dir.join(format!("{}@{}{ENDING}", id.name, id.deployed))
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<ProjectionId, Arc<Mutex<File>>>> {
        lock(&self.open)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().expect("no holder of the lock panics")
}

fn read_name(name: &str, ending: &str) -> Option<ProjectionId> {
    let (name, deployed) = name.strip_suffix(ending)?.rsplit_once('@')?;
    Some(ProjectionId { name: ProjectionName::new(name).ok()?, deployed: LogIndex(deployed.parse().ok()?) })
}

/// Deletes a file with what SQLite keeps beside it.
fn remove(path: &Path) -> io::Result<()> {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn failed(verb: &str, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Unavailable { reason: format!("cannot {verb} tables: {error}") }
}
