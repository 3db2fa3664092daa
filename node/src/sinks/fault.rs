use tokio_postgres::error::SqlState;

/// Bytes of the database's words that are kept.
const MESSAGE_BYTES_MAX: usize = 2 * 1024;

/// Why the database did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SinkError {
    /// What was asked is to blame, and would be each time.
    #[error("{0}")]
    Fault(String),
    /// The database, the way there, or what else goes on in it: it is tried again.
    #[error("{0}")]
    Failed(String),
}

impl From<tokio_postgres::Error> for SinkError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(told) = error.as_db_error() else {
            // The crate's own words name the kind; what it was is below it.
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            return Self::Failed(format!("{error}{}", cause.unwrap_or_default()));
        };
        let code = told.code();
        let detail = told.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        let message = cut(format!("SQL: {}{detail}, SQLSTATE {}", told.message(), code.code()));
        match is_of_statement(code) {
            true => Self::Fault(message),
            false => Self::Failed(message),
        }
    }
}

/// Whether what was asked is to blame: not the connection, the server's room, its operator, or who else works there.
fn is_of_statement(code: &SqlState) -> bool {
    // A statement with another number of parameters than it was given is told as a breach of the protocol.
    if *code == SqlState::PROTOCOL_VIOLATION {
        return true;
    }
    let of_machine = ["08", "25", "26", "28", "3D", "40", "53", "57", "58", "XX", "F0"];
    // Rights are given and taken beside what is deployed.
    let of_operator =
        [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::OBJECT_IN_USE, SqlState::LOCK_NOT_AVAILABLE];
    !of_machine.iter().any(|class| code.code().starts_with(class)) && !of_operator.contains(code)
}

fn cut(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_fail_each_time_is_a_fault_of_the_statement() {
        for code in ["22P02", "23505", "42601", "42P01", "42P18", "P0001", "0A000", "54000", "08P01"] {
            assert!(is_of_statement(&SqlState::from_code(code)), "{code}");
        }
        for code in ["08006", "25006", "40001", "40P01", "42501", "53100", "55P03", "57014", "57P01", "XX000"]
        {
            assert!(!is_of_statement(&SqlState::from_code(code)), "{code}");
        }
    }
}
