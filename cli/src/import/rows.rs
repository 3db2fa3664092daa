use std::{collections::HashMap, fs::File, io::Read, path::Path};

use bytes::Bytes;
use csv::{Reader, ReaderBuilder, StringRecord};
use serde_json::{Map, Number, Value};
use weir_types::{
    AppendRequest, ContentType, EntityId, EntityType, EventName, EventSource, ExpectedVersion, GroupId,
    IdempotencyKey, NewEvent, StreamVersion,
};
use xxhash_rust::xxh3::Xxh3;

use super::mapping::Mapping;
use crate::error::CliError;

/// One row, as the event that it becomes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Its first line in the file.
    pub(super) line: u64,
    pub(super) entity_id: EntityId,
    /// The version that it becomes: rows of an entity count from 1.
    pub(super) version: u64,
    pub(super) event: NewEvent,
}

/// Reads the rows of a file, one after another.
pub(super) struct Rows<R> {
    reader: Reader<R>,
    record: StringRecord,
    columns: Columns,
    mapping: Mapping,
    versions: HashMap<EntityId, u64>,
    /// The line of the last row's end. Counted here, since the reader counts a
    /// CRLF only when it goes on; empty lines are not counted.
    line: u64,
}

/// The mapping's columns, by their places.
struct Columns {
    entity_id: usize,
    event_name: usize,
    occurred_at: Option<usize>,
    data: Vec<(usize, String, bool)>,
}

impl Rows<File> {
    pub(super) fn open(path: &Path, mapping: Mapping) -> Result<Self, CliError> {
        let file = File::open(path).map_err(CliError::io(format!("open `{}`", path.display())))?;
        Self::new(file, mapping)
    }
}

impl<R: Read> Rows<R> {
    pub(super) fn new(source: R, mapping: Mapping) -> Result<Self, CliError> {
        let mut reader = ReaderBuilder::new().delimiter(mapping.delimiter).from_reader(source);
        let head = reader.headers().map_err(|error| CliError::Failed(format!("csv header: {error}")))?;
        let head: Vec<String> =
            head.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect();
        let columns = Columns::of(&head, &mapping)?;
        Ok(Self { reader, record: StringRecord::new(), columns, mapping, versions: HashMap::new(), line: 1 })
    }

    /// Bytes of the file that are read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.reader.position().byte()
    }

    /// How many entities were met.
    pub(super) fn entities(&self) -> usize {
        self.versions.len()
    }

    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row>, CliError> {
        let more = self.reader.read_record(&mut self.record);
        if !more.map_err(|error| CliError::Failed(format!("csv: {error}")))? {
            return Ok(None);
        }
        let line = self.line + 1;
        self.line = line + self.record.as_slice().bytes().filter(|byte| *byte == b'\n').count() as u64;
        self.row(line).map(Some).map_err(|why| CliError::Failed(format!("line {line}: {why}")))
    }

    fn row(&mut self, line: u64) -> Result<Row, String> {
        let cell = |at: usize| self.record.get(at).unwrap_or_default();
        let entity_id = format!("{}{}", self.mapping.entity_prefix, cell(self.columns.entity_id));
        let entity_id = EntityId::new(entity_id).map_err(|error| error.to_string())?;
        let name = format!("{}{}", self.mapping.event_prefix, cell(self.columns.event_name));
        let occurred_at = match self.columns.occurred_at.map(cell) {
            None | Some("") => None,
            Some(text) => Some(self.mapping.time.parse(text)?),
        };
        let event = NewEvent {
            id: None,
            name: EventName::new(name).map_err(|error| error.to_string())?,
            schema_version: 1,
            content_type: ContentType::Json,
            data: self.data()?,
            metadata: Bytes::new(),
            occurred_at,
            source: EventSource::Import,
            tags: Vec::new(),
        };
        let version = self.versions.entry(entity_id.clone()).or_default();
        *version += 1;
        Ok(Row { line, entity_id, version: *version, event })
    }

    /// An object of the data columns; empty cells are left out.
    fn data(&self) -> Result<Bytes, String> {
        let mut data = Map::new();
        for (at, name, is_number) in &self.columns.data {
            let cell = self.record.get(*at).unwrap_or_default();
            if cell.is_empty() {
                continue;
            }
            let value = match is_number {
                true => {
                    Value::Number(number(cell).ok_or_else(|| format!("`{cell}` in `{name}` is no number"))?)
                }
                false => Value::from(cell),
            };
            data.insert(name.clone(), value);
        }
        let bytes = serde_json::to_vec(&data).map_err(|error| error.to_string())?;
        Ok(Bytes::from(bytes))
    }
}

fn number(cell: &str) -> Option<Number> {
    cell.trim().parse::<Number>().ok()
}

impl Columns {
    fn of(head: &[String], mapping: &Mapping) -> Result<Self, CliError> {
        let place = |name: &str| {
            let known = || format!("there are: {}", head.join(", "));
            let at = head.iter().position(|column| column == name);
            at.ok_or_else(|| CliError::Usage(format!("there is no column `{name}`; {}", known())))
        };
        let entity_id = place(&mapping.entity_id)?;
        let event_name = place(&mapping.event_name)?;
        let occurred_at = mapping.occurred_at.as_deref().map(place).transpose()?;
        let used = [Some(entity_id), Some(event_name), occurred_at];
        let data: Vec<usize> = match &mapping.data {
            Some(names) => names.iter().map(|name| place(name)).collect::<Result<_, _>>()?,
            None => (0..head.len()).filter(|at| !used.contains(&Some(*at))).collect(),
        };
        for name in &mapping.numbers {
            place(name)?;
        }
        let named = |at: usize| (at, head[at].clone(), mapping.numbers.contains(&head[at]));
        Ok(Self { entity_id, event_name, occurred_at, data: data.into_iter().map(named).collect() })
    }
}

/// The append of consecutive rows of one entity: guarded by exactly the
/// version before them, with a key made of the mapping and their content.
pub(super) fn append_of(rows: &[Row], entity_type: &EntityType, mapping_digest: u128) -> AppendRequest {
    let first = rows.first().expect("an append has at least one row");
    let events: Vec<NewEvent> = rows.iter().map(|row| row.event.clone()).collect();
    let mut hash = Xxh3::new();
    let mut field = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(&mapping_digest.to_le_bytes());
    field(entity_type.as_str().as_bytes());
    field(first.entity_id.as_str().as_bytes());
    field(&first.version.to_le_bytes());
    for event in &events {
        field(event.name.as_str().as_bytes());
        field(&event.occurred_at.map_or(i64::MIN, |time| time.0).to_le_bytes());
        field(&event.data);
    }
    let key = format!("import:{:032x}", hash.digest128());
    AppendRequest {
        group: GroupId::DEFAULT,
        entity_id: first.entity_id.clone(),
        entity_type: entity_type.clone(),
        expected: ExpectedVersion::Exact(StreamVersion(first.version - 1)),
        idempotency_key: Some(IdempotencyKey::new(key).expect("a hash is a legal key")),
        events,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::mapping::mapping_of;

    const MAPPING: &str =
        "entity-id = 'case'\nentity-type = 'loan'\nevent-name = 'activity'\noccurred-at = 'time'";

    fn rows(extra: &str, csv: &str) -> Result<Vec<Row>, String> {
        let mapping = mapping_of(&format!("{MAPPING}\n{extra}"))?;
        let mut rows = Rows::new(csv.as_bytes(), mapping).map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(|error| error.to_string())? {
            all.push(row);
        }
        Ok(all)
    }

    #[test]
    fn rows_become_events_with_their_versions() {
        let rows = rows(
            "event-prefix = 'loan.'\nnumbers = ['amount']",
            concat!(
                "\u{feff}case,activity,time,amount,note\r\n",
                "173688,A_SUBMITTED,2011-10-11 13:45:40.276000+02:00,20000,\"said \"\"yes\"\", twice\"\r\n",
                "173691,A_SUBMITTED,2011-10-11 13:45:41+02:00,5.50,\r\n",
                "173688,\"W, \"\"multi\"\"\",2011-10-11 11:45:42Z,,x\r\n",
            ),
        )
        .unwrap();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| {
                (row.line, row.entity_id.as_str(), row.version, row.event.name.as_str(), &row.event.data[..])
            })
            .collect();
        assert_eq!(
            seen[0],
            (2, "173688", 1, "loan.A_SUBMITTED", &br#"{"amount":20000,"note":"said \"yes\", twice"}"#[..])
        );
        assert_eq!((seen[1].1, seen[1].4), ("173691", &br#"{"amount":5.5}"#[..]));
        assert_eq!((seen[2].1, seen[2].2), ("173688", 2));
        assert_eq!(rows[0].event.occurred_at.map(|time| time.0), Some(1_318_333_540_276_000));
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        for (csv, part) in [
            ("case,activity,time\n,A,2011-10-11\n", "line 2: entity id is empty"),
            ("case,activity,time\n1,,2011-10-11\n", "line 2: event name is empty"),
            ("case,activity,time\n1,A,2011-10-11\n1,B,soon\n", "line 3: time `soon`"),
            ("case,activity,time\n1,A\n", "csv"),
            ("case,action,time\n1,A,2011-10-11\n", "no column `activity`"),
        ] {
            let error = rows("", csv).unwrap_err();
            assert!(error.contains(part), "{csv}: {error}");
        }
        let number = rows("numbers = ['n']", "case,activity,time,n\n1,A,,many\n").unwrap_err();
        assert!(number.contains("line 2: `many` in `n` is no number"), "{number}");
    }

    #[test]
    fn only_the_chosen_columns_become_data() {
        let rows = rows("data = ['b']\ndelimiter = ';'", "case;activity;time;a;b\n1;A;;x;y\n").unwrap();
        assert_eq!(rows[0].event.data, r#"{"b":"y"}"#);
        assert_eq!(rows[0].event.occurred_at, None);
    }

    #[test]
    fn a_key_is_made_of_everything_that_decides() {
        let kind = EntityType::new("loan").unwrap();
        let rows = rows("", "case,activity,time,n\n1,A,,1\n1,A,,1\n2,A,,1\n1,A,,2\n").unwrap();
        let key = |rows: &[Row], digest| append_of(rows, &kind, digest).idempotency_key.unwrap();
        let first = key(&rows[..1], 0);
        assert_eq!(first, key(&rows[..1], 0));
        for other in [key(&rows[1..2], 0), key(&rows[2..3], 0), key(&rows[3..], 0), key(&rows[..1], 1)] {
            assert_ne!(first, other);
        }
        let guard = append_of(&rows[3..], &kind, 0).expected;
        assert_eq!(guard, ExpectedVersion::Exact(StreamVersion(2)));
    }
}
