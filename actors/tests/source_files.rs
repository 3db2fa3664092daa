//! A projection whose source is several files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/events.rs"]
mod events;

use std::{fs, path::Path};

use bench::Bench;
use events::event;
use serde_json::json;
use weir_actors::reducer::{assemble, inspect};

const FIRST: &str = "import { add } from './lib/sum.js';
import { START } from './start.js';
export const name = 'p'; export const events = ['*'];
export const initialState = () => ({ n: START });
export function handler(state, event) { state.n = add(state.n, event.data.x); }
";
/// They import each other.
const SUM: &str = "import { checked } from './checked.js';
export const NONE = 0;
export const add = (a, b) => checked(a) + checked(b);";
const CHECKED: &str = "import { NONE } from './sum.js';
export function checked(x) {
  if (x === undefined) throw new TypeError(`nothing to add to ${NONE}`);
  return x;
}
";
const START: &str = "export const START = 40;";
/// It is two files where it stands behind another.
const MARKED: &str = "export const START = 1;\n//# file: other.js\n";

fn write(folder: &Path) {
    fs::create_dir(folder.join("lib")).unwrap();
    for (name, text) in
        [("lib/sum.js", SUM), ("lib/checked.js", CHECKED), ("start.js", START), ("marked.js", MARKED)]
    {
        fs::write(folder.join(name), text).unwrap();
    }
}

fn assembled(first: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    assemble(first, move |name| fs::read_to_string(folder.path().join(name)))
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn files_are_put_into_one_source_which_folds() {
    let source = assembled(FIRST).unwrap();
    assert_eq!(
        source,
        format!(
            "{FIRST}//# file: lib/checked.js\n{CHECKED}//# file: lib/sum.js\n{SUM}\n//# file: start.js\n{START}"
        )
    );
    assert_eq!(assembled(&source).as_ref(), Ok(&source), "what is one source stays as it is");
    let mut bench = Bench::of(&source);
    bench.fold(&[event(1, "a", "e", &json!({ "x": 2 }))]).await;
    assert_eq!(bench.global(), "{\"n\":42}");
    bench.fold(&[event(2, "a", "e", &json!({}))]).await;
    let fault = bench.failure.unwrap().fault;
    assert_eq!(fault.message, "TypeError: nothing to add to 0");
    for line in ["at checked (lib/checked.js:3", "at add (lib/sum.js:3", "at handler (projection.js:5"] {
        assert!(fault.stack.contains(line), "{}", fault.stack);
    }
}

#[test]
fn what_is_imported_and_not_there_is_named() {
    let other = |from: &str| FIRST.replace("./start.js", from);
    for (from, told) in
        [("./absent.js", "absent.js"), ("lodash", "esbuild --bundle"), ("/etc/start.js", "begins with `./`")]
    {
        let error = assembled(&other(from)).unwrap_err();
        assert!(error.contains(told), "{error}");
        let error = inspect(&other(from)).unwrap_err().to_string();
        assert!(error.contains(told) || error.contains("not within the source"), "{error}");
    }
    let error = assembled("import './lib/sum.js'; export const = 1;").unwrap_err();
    assert!(error.starts_with("module does not load: SyntaxError"), "{error}");
    assert_eq!(assembled("export const name = 'p';").unwrap(), "export const name = 'p';");
}

#[test]
fn a_file_that_would_be_two_is_refused() {
    let error = assembled(&FIRST.replace("./start.js", "./marked.js")).unwrap_err();
    assert!(error.contains("`marked.js` holds a line that begins with `//# file: `"), "{error}");
}

#[test]
fn a_bundle_is_one_file() {
    // As esbuild writes it with `--bundle --format=esm`.
    let bundle = "// lib/sum.js\nvar add = (a, b) => a + b;\n\n// main.js\nvar name = 'p';\nvar events = ['*'];\n\
                  var initialState = () => 0;\nfunction handler(state, event) { return add(state, event.data.x); }\n\
                  export {\n  events,\n  handler,\n  initialState,\n  name\n};\n";
    assert_eq!(inspect(bundle).unwrap().name.as_str(), "p");
}
