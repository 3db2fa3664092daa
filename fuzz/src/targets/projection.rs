//! What a projection's author writes.

use serde_json::{Number, Value};
use weir_actors::{inside::partition, reducer::inspect};

use crate::{Target, memory::Bound};

pub(super) const PARTITION: Target = Target {
    name: "partition-key",
    about: "a JSONPath, a NUL and an event: equal whole numbers are one partition",
    run: partition_key,
    memory: Bound { fixed: 1024 * 1024, per_byte: 1024 },
    seeds: &[],
    slow_ms: 0,
};

pub(super) const MODULE: Target = Target {
    name: "projection-module",
    about: "a JavaScript module: read or refused, within the engine's bounds, twice alike",
    run: module,
    memory: Bound { fixed: 8 * 1024 * 1024, per_byte: 1024 },
    seeds: &["docs/examples"],
    slow_ms: 1,
};

fn partition_key(data: &[u8]) {
    let Some(at) = data.iter().position(|byte| *byte == 0) else { return };
    let (Ok(path), Ok(event)) = (std::str::from_utf8(&data[..at]), std::str::from_utf8(&data[at + 1..]))
    else {
        return;
    };
    let found = partition(path, event);
    assert_eq!(partition(path, event), found);
    if let Ok(Value::Number(number)) = serde_json::from_str(event) {
        whole_number(&number);
    }
}

/// `1`, `1.0` and `1e0` are one partition, as they are one number to the reducer.
fn whole_number(number: &Number) {
    let Some(float) = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15) else {
        return;
    };
    let key = |number: &str| partition("$", number).expect("a number is a legal key");
    assert_eq!(key(&number.to_string()), key(&format!("{}", float as i64)), "{number}");
}

fn module(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let Ok(definition) = inspect(source) else { return };
    definition.check_limits().expect("what is taken is within the limits");
    assert_eq!(inspect(source).as_ref(), Ok(&definition), "what a module declares depends on nothing else");
}
