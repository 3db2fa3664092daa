//! Doors to what is private, for fuzz targets.

use clap::Parser;
use weir_types::{AppendRequest, EntityType};

use super::{
    ImportArgs,
    mapping::Mapping,
    rows::{Rows, append_of},
};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    import: ImportArgs,
}

/// What `weir import` reads of a mapping's text and a CSV file: an append for each row.
///
/// # Errors
/// What it would say on stderr.
pub fn import(mapping: &str, csv: &[u8]) -> Result<Vec<AppendRequest>, String> {
    let flags = Flags::try_parse_from(["import", "--csv", "rows.csv", "--mapping", "mapping.toml"])
        .map_err(|error| error.to_string())?;
    let mapping =
        Mapping::of_text(mapping, "mapping.toml", &flags.import).map_err(|error| error.to_string())?;
    let entity_type = EntityType::new(&mapping.entity_type).map_err(|error| error.to_string())?;
    let digest = mapping.digest();
    let mut rows = Rows::new(csv, mapping).map_err(|error| error.to_string())?;
    let mut appends = Vec::new();
    while let Some(row) = rows.next().map_err(|error| error.to_string())? {
        appends.push(append_of(&[row], &entity_type, digest));
    }
    Ok(appends)
}
