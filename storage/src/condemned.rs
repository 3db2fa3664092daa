//! A mark on a folder whose store was found damaged: the next open moves the
//! folder aside, even where opening it would not meet the damage again.

use std::{io::ErrorKind, path::Path};

const FILE: &str = "CONDEMNED";

/// Puts the mark, once: every read that meets the damage comes here.
pub(crate) fn condemn(dir: &Path, what: &str) {
    if is_condemned(dir) {
        return;
    }
    match std::fs::write(dir.join(FILE), what) {
        Ok(()) => tracing::warn!(dir = %dir.display(), what, "damaged store is condemned"),
        // The folder itself is gone, which the next open sees.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => tracing::error!(dir = %dir.display(), %error, "damaged store could not be condemned"),
    }
}

/// Whether the mark is there.
pub(crate) fn is_condemned(dir: &Path) -> bool {
    dir.join(FILE).exists()
}
