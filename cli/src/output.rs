use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::{Map, Value, json};
use weir_client::ClientError;

use crate::{details, error::CliError};

/// Where data goes, and in which form.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    terminal: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, terminal: io::stdout().is_terminal() }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// One line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(|error| CliError::Failed(error.to_string()))?;
        self.line(&text)
    }

    /// JSON, where it is asked for, or else what `text` prints.
    pub(crate) fn json_or<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        if self.json { self.json(value) } else { text(value) }
    }

    /// One line of text.
    pub(crate) fn line(&self, text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(CliError::io("write to stdout"))
    }

    /// A table: drawn on a terminal, else columns parted by tabs. Tabs and
    /// newlines in a cell become spaces there, so that a row stays a row.
    pub(crate) fn table<const N: usize>(
        &self,
        head: [&str; N],
        rows: &[[String; N]],
    ) -> Result<(), CliError> {
        if self.terminal {
            let mut table = Table::new();
            table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
            table.set_header(head);
            table.add_rows(rows);
            return self.line(&table.trim_fmt());
        }
        self.line(&head.join("\t"))?;
        for row in rows {
            self.line(&tabbed(row))?;
        }
        Ok(())
    }

    /// Names and values, one below the other.
    pub(crate) fn facts(&self, facts: &[(&str, String)]) -> Result<(), CliError> {
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts {
            match self.terminal {
                true => self.line(&format!("{name:width$}  {value}"))?,
                false => self.line(&tabbed(&[(*name).to_owned(), value.clone()]))?,
            }
        }
        Ok(())
    }

    /// An error, on stderr, with its details and its page.
    pub(crate) fn error(&self, error: &CliError) {
        let (code, details) = match error {
            CliError::Client(client) => (client.code(), details_of(client)),
            _ => (None, None),
        };
        let code = code.map(|code| code.as_str());
        if self.json {
            let exit_code = error.exit_code();
            let body = json!({ "error": error.to_string(), "code": code, "details": details, "exitCode": exit_code });
            eprintln!("{body}");
            return;
        }
        let message = error.to_string();
        eprintln!("error: {message}");
        for line in details.map(|details| details::lines(details, &message)).unwrap_or_default() {
            eprintln!("  {line}");
        }
        if let Some(code) = code {
            eprintln!("  code {code}, see docs/errors/{code}.md");
        }
        if code.is_none() && error.exit_code() == crate::exit::NO_CONNECTION {
            eprintln!("  does a node run there? `weir dev` starts one; --server or WEIR_SERVER names others");
        }
        if error.exit_code() == crate::exit::OUTCOME_UNKNOWN {
            eprintln!("  the outcome is not known: it may have happened, or happen yet");
        }
    }
}

fn details_of(error: &ClientError) -> Option<&Map<String, Value>> {
    match error {
        ClientError::Api(error) => Some(&error.details),
        ClientError::Deadline { last, .. } | ClientError::Read(last) => details_of(last),
        _ => None,
    }
}

fn tabbed(cells: &[String]) -> String {
    let cells = cells.iter().map(|cell| cell.replace(['\t', '\n', '\r'], " "));
    cells.collect::<Vec<_>>().join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stays_a_row() {
        assert_eq!(tabbed(&["a\tb".into(), "c\nd".into()]), "a b\tc d");
    }
}
