use std::fs;

use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_128;

use super::{ImportArgs, time::TimeFormat};
use crate::error::CliError;

/// How a row becomes an event, by the names of columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mapping {
    pub(super) entity_id: String,
    pub(super) entity_type: String,
    pub(super) event_name: String,
    pub(super) occurred_at: Option<String>,
    pub(super) time: TimeFormat,
    /// `None`: every column that is not used above.
    pub(super) data: Option<Vec<String>>,
    /// Columns of the data that become JSON numbers.
    pub(super) numbers: Vec<String>,
    pub(super) event_prefix: String,
    pub(super) entity_prefix: String,
    pub(super) delimiter: u8,
}

/// The mapping as a TOML file says it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct File {
    entity_id: Option<String>,
    entity_type: Option<String>,
    event_name: Option<String>,
    occurred_at: Option<String>,
    occurred_at_format: Option<String>,
    time_zone: Option<String>,
    data: Option<Vec<String>>,
    numbers: Vec<String>,
    event_prefix: Option<String>,
    entity_prefix: Option<String>,
    delimiter: Option<char>,
}

impl Mapping {
    /// The mapping of the file, if there is one, overridden by the flags.
    pub(super) fn of(args: &ImportArgs) -> Result<Self, CliError> {
        let Some(path) = &args.mapping else { return File::default().overridden(args) };
        let text = fs::read_to_string(path).map_err(CliError::io(format!("read `{}`", path.display())))?;
        Self::of_text(&text, &path.display().to_string(), args)
    }

    /// The mapping that a file's text says, overridden by the flags.
    pub(super) fn of_text(text: &str, file: &str, args: &ImportArgs) -> Result<Self, CliError> {
        let read: File =
            toml::from_str(text).map_err(|error| CliError::Usage(format!("`{file}`: {error}")))?;
        read.overridden(args)
    }

    /// A digest of what decides which events the rows become.
    pub(super) fn digest(&self) -> u128 {
        xxh3_128(format!("{self:?}").as_bytes())
    }
}

impl File {
    fn overridden(self, args: &ImportArgs) -> Result<Mapping, CliError> {
        let needed = |what: &str, flag: &Option<String>, file: Option<String>| {
            flag.clone().or(file).ok_or_else(|| CliError::Usage(format!("mapping lacks `{what}`")))
        };
        let format = args.occurred_at_format.clone().or(self.occurred_at_format);
        let zone = args.time_zone.clone().or(self.time_zone);
        let delimiter = args.delimiter.or(self.delimiter).unwrap_or(',');
        Ok(Mapping {
            entity_id: needed("entity-id", &args.entity_id, self.entity_id)?,
            entity_type: needed("entity-type", &args.entity_type, self.entity_type)?,
            event_name: needed("event-name", &args.event_name, self.event_name)?,
            occurred_at: args.occurred_at.clone().or(self.occurred_at),
            time: TimeFormat::new(format.as_deref().unwrap_or("auto"), zone.as_deref().unwrap_or("UTC"))?,
            data: args.data.clone().or(self.data),
            numbers: self.numbers,
            event_prefix: args.event_prefix.clone().or(self.event_prefix).unwrap_or_default(),
            entity_prefix: args.entity_prefix.clone().or(self.entity_prefix).unwrap_or_default(),
            delimiter: u8::try_from(delimiter)
                .map_err(|_| CliError::Usage(format!("delimiter `{delimiter}` is not ASCII")))?,
        })
    }
}

#[cfg(test)]
pub(super) fn mapping_of(toml: &str) -> Result<Mapping, String> {
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ImportArgs,
    }
    let line = Line::try_parse_from(["import", "--csv", "f.csv", "--mapping", "m.toml"]).unwrap();
    let file: File = toml::from_str(toml).map_err(|error| error.to_string())?;
    file.overridden(&line.args).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_complete_and_has_no_typos() {
        let good = "entity-id = 'case'\nentity-type = 'order'\nevent-name = 'activity'\n";
        let mapping = mapping_of(good).unwrap();
        assert_eq!((mapping.delimiter, mapping.data.clone()), (b',', None));
        let other = mapping_of(&format!("{good}event-prefix = 'order.'")).unwrap();
        assert_ne!(mapping.digest(), other.digest());
        for bad in [
            "entity-id = 'case'",
            &format!("{good}ocurred-at = 'time'"),
            &format!("{good}time-zone = 'Mars/North'"),
            &format!("{good}delimiter = '→'"),
        ] {
            assert!(mapping_of(bad).is_err(), "{bad}");
        }
    }
}
