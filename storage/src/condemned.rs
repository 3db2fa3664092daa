//! A mark on a folder whose store was found damaged: the next open moves the
//! folder aside, even where opening it would not meet the damage again.

use std::path::Path;

const FILE: &str = "CONDEMNED";

/// Puts the mark.
pub(crate) fn condemn(dir: &Path, what: &str) {
    if let Err(error) = std::fs::write(dir.join(FILE), what) {
        tracing::error!(dir = %dir.display(), %error, "damaged store could not be condemned");
    }
}

/// Whether the mark is there.
pub(crate) fn is_condemned(dir: &Path) -> bool {
    dir.join(FILE).exists()
}
