//! The commands that speak to a cluster, against a real node: what they say, and how they end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;
const NO_ANSWER: i32 = 6;

/// A node as a process, in a folder of its own, which is the commands' folder too.
struct Node {
    process: Child,
    url: String,
    folder: TempDir,
}

/// How a command ended, and what it said.
struct Ended {
    code: i32,
    out: String,
    told: String,
}

fn weir() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    for variable in ["WEIR_CONFIG", "WEIR_DATA_DIR", "WEIR_SERVER"] {
        command.env_remove(variable);
    }
    command
}

impl Node {
    /// Starts it, and waits until it leads; again where another test took a port between the look for it and this.
    fn start() -> Self {
        loop {
            let mut node = Self::begin();
            while node.process.try_wait().unwrap().is_none() {
                if node.run_with(&["cluster", "status", "--wait", "2s"], "").code == 0 {
                    return node;
                }
            }
        }
    }

    fn begin() -> Self {
        // Both are held until both are known, so that they differ.
        let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [edge, peer] = held.each_ref().map(|port| port.local_addr().unwrap().to_string());
        drop(held);
        let folder = TempDir::new().unwrap();
        let process = weir()
            .args(["node", "--node-id", "1", "--bootstrap", "--exit-with-parent", "--data-dir"])
            .arg(folder.path().join("node"))
            .args(["--listen", &edge, "--peer-listen", &peer])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, url: format!("http://{edge}"), folder }
    }

    fn run_with(&self, arguments: &[&str], stdin: &str) -> Ended {
        let mut command = weir();
        command.args(arguments).args(["--server", &self.url]).current_dir(self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        process.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        let ended = process.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: ended.status.code().unwrap(), out: text(ended.stdout), told: text(ended.stderr) }
    }

    fn ends(&self, arguments: &[&str], code: i32) -> Ended {
        let ended = self.run_with(arguments, "");
        assert_eq!(ended.code, code, "{arguments:?}: {}{}", ended.out, ended.told);
        ended
    }

    /// As words between spaces, which say it with less noise.
    fn line(&self, line: &str, code: i32) -> Ended {
        self.ends(&line.split(' ').collect::<Vec<_>>(), code)
    }

    /// What a command that is well prints as JSON.
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.line(&format!("{line} --json"), 0).out).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.path().join(file), text).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().ok();
    }
}

impl Ended {
    /// Each of these is a line of what it said, apart from the space before it.
    fn says(&self, lines: &[&str]) {
        for line in lines {
            assert!(self.told.lines().any(|told| told.trim() == *line), "`{line}` is not in: {}", self.told);
        }
    }
}

const PLACE: &str = "stream append o-1 --type order --name placed --data {}";

#[test]
fn a_conflict_says_what_is_there_and_what_was_expected() {
    let node = Node::start();
    node.line(PLACE, 0);
    let conflict = node.line(&format!("{PLACE} --expected-version 7"), CONFLICT);
    conflict.says(&["error: version conflict", "expected version: 7", "actual version: 1"]);
    conflict.says(&["code version_conflict, see docs/errors/version_conflict.md"]);
    let missing = "stream append o-9 --type order --name placed --data {} --expected-version exists";
    node.line(missing, CONFLICT).says(&["expected version: exists", "actual version: 0"]);
    node.line("stream append o-1 --type cart --name n --data {}", CONFLICT).says(&["actual type: order"]);
    node.line("kv create b", 0);
    node.line("kv put b k v", 0);
    node.line("kv put b k w --create", CONFLICT).says(&["actual revision: 1"]);
    node.line("kv put b none w --if-exists", CONFLICT).says(&["actual revision: 0"]);
    node.line("kv put b k w --if-exists", 0);
    let body = r#"{"appends":[{"entityId":"o-1","entityType":"order","expectedVersion":9,"events":[{"name":"n"}]},
                              {"entityId":"o-2","entityType":"order","expectedVersion":3,"events":[{"name":"n"}]}]}"#;
    node.write("t.json", body);
    node.line("transact @t.json", CONFLICT).says(&[
        "violations: version_conflict: actual version 1, entity id o-1, expected version 9",
        "violations: version_conflict: actual version 0, entity id o-2, expected version 3",
    ]);
    let json = node.line(&format!("{PLACE} --expected-version 7 --json"), CONFLICT).told;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["details"]["expectedVersion"], &json["details"]["actualVersion"]),
        (&7.into(), &1.into())
    );
}

#[test]
fn a_refusal_by_a_schema_says_which_event_and_where() {
    let node = Node::start();
    node.write("rules.json", r#"{"schemas":"known"}"#);
    node.line("rules set rules.json", 0);
    node.write("schema.json", r#"{"type":"object","properties":{"total":{"type":"number"}}}"#);
    node.line("schema register placed schema.json --version 1", 0);
    node.write("e.ndjson", "{\"name\":\"placed\"}\n{\"name\":\"placed\",\"data\":{\"total\":\"x\"}}\n");
    for only in ["", " --validate-only"] {
        let refused = node.line(&format!("stream append o-1 --type order --events e.ndjson{only}"), FAILED);
        let fault = "own: entity id o-1, event 1, path /total, rule schema: ";
        let faults: Vec<_> = refused.told.lines().filter(|line| line.trim().starts_with(fault)).collect();
        assert!(faults.len() == 1 && faults[0].len() > fault.len() + 2, "{}", refused.told);
        assert!(!refused.told.contains("messages:"), "{}", refused.told);
    }
}

#[test]
fn what_is_missing_and_what_is_in_the_way_have_their_exit_codes() {
    let node = Node::start();
    node.line(PLACE, 0);
    node.line("group create g >", 0);
    node.line("kv create b", 0);
    for (line, code) in [
        ("group show none", NOT_FOUND),
        ("group pause none", NOT_FOUND),
        ("group delete none", NOT_FOUND),
        ("group dead-letters none", NOT_FOUND),
        ("group create g >", CONFLICT),
        ("snapshot get o-1", NOT_FOUND),
        ("snapshot get none", NOT_FOUND),
        ("snapshot delete o-1 --version 1", NOT_FOUND),
        ("snapshot create o-1 {} --version 9", CONFLICT),
        ("upcaster get n --from 1", NOT_FOUND),
        ("upcaster delete n --from 1", NOT_FOUND),
        ("upcaster test n {}", NOT_FOUND),
        ("stream info none", NOT_FOUND),
        ("kv get b none", NOT_FOUND),
        ("kv create b", CONFLICT),
        ("projection status none", NOT_FOUND),
        ("rules get --type none", NOT_FOUND),
        ("schema get none", NOT_FOUND),
        ("group set none --max-in-flight 5", NOT_FOUND),
        ("stream append o-1 --type cart --name n --data {}", CONFLICT),
    ] {
        node.line(line, code);
    }
}

#[test]
fn every_flag_in_the_help_of_a_read_from_a_snapshot_works() {
    let node = Node::start();
    node.line(PLACE, 0);
    node.line(PLACE, 0);
    node.line("snapshot create o-1 {\"n\":1} --version 1", 0);
    let help = node.line("snapshot read --help", 0).out;
    let own = help.split("Options of every command").next().unwrap();
    let mut tried = Vec::new();
    for line in own.lines() {
        let mut words = line.split_whitespace();
        let (Some(flag), Some(value)) = (words.next(), words.next()) else { continue };
        let value = match value {
            "<TIME>" => "2099-01-01T00:00:00Z",
            "<VERSION>" => "2",
            _ => continue,
        };
        let read = node.line(&format!("snapshot read o-1 {flag} {value}"), 0);
        assert!(read.out.starts_with("snapshot of version 1: {\"n\":1}"), "{flag}: {}", read.out);
        tried.push(flag);
    }
    tried.sort_unstable();
    assert_eq!(tried, ["--as-of", "--as-of-version"], "{help}");
}

#[test]
fn an_append_says_where_it_came_from_or_is_only_checked() {
    let node = Node::start();
    for (flag, source) in [
        ("", "api"),
        (" --source api", "api"),
        (" --source cron", "cron"),
        (" --source webhook", "webhook"),
        (" --source import", "import"),
    ] {
        node.line(&format!("{PLACE}{flag}"), 0);
        assert_eq!(node.json("stream read o-1 --backward --limit 1")["source"], source);
    }
    let checked = node.json(&format!("{PLACE} --expected-version 5 --validate-only"));
    assert_eq!((&checked["valid"], &checked["position"]), (&true.into(), &5.into()));
    node.line(&format!("{PLACE} --validate-only"), 0);
    assert_eq!(node.json("stream info o-1")["version"], 5, "nothing is written");
    // Refused as the append would be.
    for line in [&format!("{PLACE} --expected-version 3"), "stream append o-1 --type cart --name n --data {}"]
    {
        let (own, checked) =
            (node.line(line, CONFLICT), node.line(&format!("{line} --validate-only"), CONFLICT));
        assert_eq!(checked.told, own.told);
    }
    // A position that is there is no hindrance; for one that is not, a node waits longer than is allowed here.
    assert_eq!(node.json("log --min-position 5 --limit 1 --backward")["position"], 5);
    node.line("log --min-position 900 --timeout 1s", NO_ANSWER);
    // A repeat is checked as it would be answered.
    for only in ["", " --validate-only", ""] {
        node.line(&format!("{PLACE} --idempotency-key checked --expected-version any{only}"), 0);
    }
}

#[test]
fn a_history_begins_at_a_revision() {
    let node = Node::start();
    node.line("kv create b --history 5", 0);
    for value in ["one", "two", "three"] {
        node.line(&format!("kv put b k {value}"), 0);
    }
    let revisions = |flags: &str| -> Vec<u64> {
        let history = node.json(&format!("kv history b k{flags}"));
        history["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["revision"].as_u64().unwrap())
            .collect()
    };
    assert_eq!((revisions(""), revisions(" --from-revision 2")), (vec![1, 2, 3], vec![2, 3]));
}

#[test]
fn many_events_are_appended_at_once_or_not_at_all() {
    let node = Node::start();
    let append = "stream append o-1 --type order --events";
    node.write(
        "two.ndjson",
        "{\"name\":\"a\",\"tags\":[\"t\"]}\n\n{\"name\":\"b\",\"data\":{\"n\":1},\"source\":\"cron\"}\n",
    );
    let appended = node.json(&format!("{append} two.ndjson --expected-version none"));
    assert_eq!((&appended["firstVersion"], &appended["lastVersion"]), (&1.into(), &2.into()));
    let piped = format!("{append} -");
    let piped = node.run_with(&piped.split(' ').collect::<Vec<_>>(), "{\"name\":\"c\"}\n{\"name\":\"d\"}");
    assert!(piped.code == 0 && piped.out.contains("events\t2"), "{}{}", piped.out, piped.told);
    let names = node.line("stream read o-1 --json", 0).out;
    let names: Vec<Value> = names.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = names.iter().map(|event| (&event["name"], &event["source"])).collect();
    let of = |name: &'static str, source: &'static str| (Value::from(name), Value::from(source));
    let expected = [of("a", "api"), of("b", "cron"), of("c", "api"), of("d", "api")];
    assert_eq!(names, expected.iter().map(|(name, source)| (name, source)).collect::<Vec<_>>());

    let thousand = "{\"name\":\"n\"}\n".repeat(1_000);
    for (text, told) in [
        ("{\"name\":\"a\"}\n\n{\"name\":\"b\",\"datas\":1}\n", "`e.ndjson`: line 3: unknown field `datas`"),
        ("{\"name\":\"a\"}\n{}\n", "`e.ndjson`: line 2: event name is empty"),
        (&format!("{thousand}{{\"name\":\"n\"}}"), "`e.ndjson`: line 1001: there are over 1000 events"),
        ("\n", "`e.ndjson` holds no event"),
    ] {
        node.write("e.ndjson", text);
        let refused = node.line(&format!("{append} e.ndjson"), USAGE);
        assert!(refused.told.starts_with(&format!("error: {told}")), "{}", refused.told);
    }
    assert_eq!(node.json("stream info o-1")["version"], 4, "nothing of it is written");
    node.write("e.ndjson", &thousand);
    node.line(&format!("{append} e.ndjson"), 0);
    assert_eq!(node.json("stream info o-1")["version"], 1_004);
}
