//! Reading a history back.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::Path,
};

use super::{FORMAT, Header, Operation};

/// A whole history in memory, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// What produced it.
    pub header: Header,
    /// The operations.
    pub operations: Vec<Operation>,
}

/// Why a history could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file failed.
    #[error("history file failed")]
    File(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {line} of the history is not readable: {reason}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// It was written by newer code.
    #[error("history has format {found}, newer than {FORMAT}")]
    Format {
        /// The format of the file.
        found: u32,
    },
    /// There is not even a header.
    #[error("history is empty")]
    Empty,
}

impl History {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or a line before the last is damaged. A torn
    /// last line, as a killed harness leaves it, is ignored.
    pub fn load(path: &Path) -> Result<Self, HistoryError> {
        Self::read(BufReader::new(File::open(path)?))
    }

    /// Reads lines from anywhere.
    ///
    /// # Errors
    /// As [`History::load`].
    pub fn read(lines: impl BufRead) -> Result<Self, HistoryError> {
        let mut lines = (1..).zip(lines.split(b'\n')).peekable();
        let (_, first) = lines.next().ok_or(HistoryError::Empty)?;
        let header: Header = parse(1, &first?)?;
        if header.format > FORMAT {
            return Err(HistoryError::Format { found: header.format });
        }
        let mut operations = Vec::new();
        while let Some((number, line)) = lines.next() {
            let line = line?;
            match parse(number, &line) {
                Ok(operation) => operations.push(operation),
                Err(_) if lines.peek().is_none() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Self { header, operations })
    }

    /// Writes a file that [`History::load`] reads.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), HistoryError> {
        let mut file = BufWriter::new(File::create(path)?);
        self.write(&mut file)?;
        Ok(file.flush()?)
    }

    /// Writes lines anywhere.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&self, to: &mut impl Write) -> Result<(), HistoryError> {
        write_line(to, &self.header)?;
        for operation in &self.operations {
            write_line(to, operation)?;
        }
        Ok(())
    }
}

/// Writes one value as one line.
pub(super) fn write_line(to: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, value)?;
    to.write_all(b"\n")
}

fn parse<T: serde::de::DeserializeOwned>(line: usize, bytes: &[u8]) -> Result<T, HistoryError> {
    serde_json::from_slice(bytes).map_err(|error| HistoryError::Line { line, reason: error.to_string() })
}
