use std::{fmt, sync::Arc};

use crate::limits::FILTER_BYTES_MAX as BYTES_MAX;

/// An expression of the Common Expression Language that says which events are wanted. Whether it is one is known to
/// who compiles it.
#[derive(Clone, PartialEq, Eq)]
pub struct FilterText(Arc<str>);

/// Why a filter is not legal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is longer than its limit.
    #[error("filter has {bytes} bytes, over the limit of {max}", max = BYTES_MAX)]
    TooLong {
        /// Its bytes of UTF-8.
        bytes: usize,
    },
    /// It says nothing.
    #[error("filter is empty")]
    Empty,
    /// It is no expression.
    #[error("filter is no expression, at line {line}, column {column}: {reason}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// It is an expression that is not served.
    #[error("filter is not legal: {reason}")]
    Illegal {
        /// What of it.
        reason: String,
    },
}

impl FilterText {
    /// Takes a text that is not empty and within its limit.
    ///
    /// # Errors
    /// [`FilterError::Empty`] or [`FilterError::TooLong`].
    pub fn new(text: &str) -> Result<Self, FilterError> {
        match text.len() {
            _ if text.trim().is_empty() => Err(FilterError::Empty),
            0..=BYTES_MAX => Ok(Self(Arc::from(text))),
            bytes => Err(FilterError::TooLong { bytes }),
        }
    }

    /// The same, where nothing said is no filter.
    ///
    /// # Errors
    /// [`FilterError::TooLong`].
    pub fn optional(text: &str) -> Result<Option<Self>, FilterError> {
        match Self::new(text) {
            Err(FilterError::Empty) => Ok(None),
            taken => taken.map(Some),
        }
    }

    /// The expression as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FilterText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_bounded_and_nothing_is_no_filter() {
        assert_eq!(FilterText::new(" \n"), Err(FilterError::Empty));
        assert_eq!(FilterText::optional(""), Ok(None));
        assert_eq!(FilterText::new("data.n > 1").map(|text| text.as_str().len()), Ok(10));
        assert!(FilterText::optional(&"x".repeat(BYTES_MAX)).is_ok());
        let long = "x".repeat(BYTES_MAX + 1);
        assert_eq!(FilterText::optional(&long), Err(FilterError::TooLong { bytes: BYTES_MAX + 1 }));
    }
}
