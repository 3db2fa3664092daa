//! `weir import`: a mapping and a CSV file.

use weir_cli::inside::import;
use weir_types::ExpectedVersion;

use crate::{Target, memory::Bound};

pub(super) const IMPORT: Target = Target {
    name: "import-csv",
    about: "a mapping in TOML, a NUL, and a CSV file: the same rows are the same appends",
    run: rows,
    memory: Bound { fixed: 4 * 1024 * 1024, per_byte: 4096 },
    seeds: &[],
    slow_ms: 0,
};

fn rows(data: &[u8]) {
    let Some(at) = data.iter().position(|byte| *byte == 0) else { return };
    let Ok(mapping) = std::str::from_utf8(&data[..at]) else { return };
    let csv = &data[at + 1..];
    let read = import(mapping, csv);
    assert_eq!(import(mapping, csv), read, "what a file says depends on nothing else");
    for append in read.into_iter().flatten() {
        assert!(append.events.len() == 1 && append.idempotency_key.is_some());
        assert!(matches!(append.expected, ExpectedVersion::Exact(_)));
        let data = &append.events[0].data;
        assert!(serde_json::from_slice::<serde_json::Map<_, _>>(data).is_ok(), "a row's data is an object");
    }
}
