//! `weir projection new`: a projection to begin with, and its test.

use std::{fs, io::Write as _, path::PathBuf};

use serde_json::json;
use weir_types::ProjectionName;

use crate::{error::CliError, output::Output};

const SOURCE: &str = r"// A projection: events in, one state for each partition out. Every node folds it.
//
//   weir projection test NAME.js --given NAME.events.ndjson --expect NAME.states.json
//   weir projection deploy NAME.js

export const name = 'NAME';

// The events that it folds: names, or beginnings of names such as 'order.*'.
export const events = ['order.*'];

// Where an event says which state it belongs to. Without it there is one state.
export const partitionKey = '$.data.customer';

// What becomes of an event that cannot be folded: 'park' stops before it, 'skip' keeps it as a dead letter.
export const onError = 'park';

// The state of a partition that no event has changed yet.
export const initialState = () => ({ orders: 0, total: 0 });

// Changes the state, or returns another one. There is no clock, no randomness and no network: all nodes come to the
// same. `context.event` has id, name, position, version, entityId, recordedAt and metadata.
export function handler(state, event, context) {
  switch (event.name) {
    case 'order.placed':
      state.orders += 1;
      state.total += event.data.total;
      state.last = event.entityId;
      break;
    case 'order.cancelled':
      state.orders -= 1;
      state.total -= event.data.total;
      break;
  }
}
";

const EVENTS: &str = r#"{"name":"order.placed","entityId":"order-1","data":{"customer":"ada","total":20}}
{"name":"order.placed","entityId":"order-2","data":{"customer":"bob","total":5}}
{"name":"order.placed","entityId":"order-3","data":{"customer":"ada","total":7}}
{"name":"order.cancelled","entityId":"order-1","data":{"customer":"ada","total":20}}
"#;

const STATES: &str = r#"{
  "ada": {
    "orders": 1,
    "total": 7,
    "last": "order-3"
  },
  "bob": {
    "orders": 1,
    "total": 5,
    "last": "order-2"
  }
}
"#;

#[derive(Debug, clap::Args)]
pub struct StarterArgs {
    /// The projection's name, and the beginning of its files' names
    name: String,
    /// The folder to write to; this one if not given
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    dir: PathBuf,
}

pub(crate) fn run(args: &StarterArgs, output: &Output) -> Result<(), CliError> {
    let name = ProjectionName::new(&args.name).map_err(|error| CliError::Usage(error.to_string()))?;
    let file = |ending: &str| args.dir.join(format!("{name}{ending}"));
    let files = [
        (file(".js"), SOURCE.replace("NAME", name.as_str())),
        (file(".events.ndjson"), EVENTS.to_owned()),
        (file(".states.json"), STATES.to_owned()),
    ];
    if let Some((there, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(CliError::Conflict(format!(
            "`{}` is there already; nothing was written",
            there.display()
        )));
    }
    for (path, text) in &files {
        // Never over a file that came in between.
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(CliError::io(format!("create `{}`", path.display())))?;
        file.write_all(text.as_bytes()).map_err(CliError::io(format!("write `{}`", path.display())))?;
    }
    let paths: Vec<_> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    if output.is_json() {
        return output.json(&json!({ "files": paths }));
    }
    paths.iter().try_for_each(|path| output.line(path))?;
    eprintln!("try it: weir projection test {} --given {} --expect {}", paths[0], paths[1], paths[2]);
    Ok(())
}
