//! The binary as a process: exit codes, what it says, and what it leaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{BufRead as _, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

fn weir(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(arguments).env_remove("WEIR_CONFIG").env_remove("WEIR_DATA_DIR");
    command
}

fn run(arguments: &[&str]) -> Output {
    weir(arguments).output().unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a node with its stdin held, and waits until its edge answers.
fn start(data: &Path) -> Child {
    let (edge, peer) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let data = data.to_str().unwrap();
    let flags = ["node", "--node-id", "1", "--bootstrap", "--exit-with-parent", "--data-dir", data];
    let mut command = weir(&flags);
    command.args(["--listen", &edge, "--peer-listen", &peer]).stdin(Stdio::piped()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    eventually(|| answers(&edge));
    child
}

fn answers(edge: &str) -> bool {
    let Ok(mut socket) = TcpStream::connect(edge) else { return false };
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {edge}\r\n\r\n");
    let mut head = [0; 12];
    socket.write_all(request.as_bytes()).is_ok()
        && socket.read_exact(&mut head).is_ok()
        && head.ends_with(b"200")
}

/// The whole answer to a GET.
fn ask(edge: &str, path: &str) -> Option<String> {
    let mut socket = TcpStream::connect(edge).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {edge}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    Some(answer).filter(|answer| !answer.is_empty())
}

fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "it did not come to hold in 30 s");
        std::thread::yield_now();
    }
}

/// Found by chaos, which fills the disk that a node's stderr is on.
#[cfg(target_os = "linux")]
#[test]
fn a_node_that_cannot_say_why_ends_as_it_meant_to() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = weir(&["node", "--node-id", "nonsense"]).stderr(full.try_clone().unwrap()).status().unwrap();
    assert_eq!(ended.code(), Some(2), "flags are refused by the parser");
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.toml");
    let ended = weir(&["node", "--config", missing.to_str().unwrap()]).stderr(full).status().unwrap();
    assert_eq!(ended.code(), Some(2), "a config is refused by the node");
}

#[test]
fn a_bad_config_ends_with_2_and_its_code_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("weir.toml"), folder.path().join("data"));
    let file = file.to_str().unwrap();
    for (text, code) in [
        ("version = 1\nnode_idd = 1", "config_unknown_field"),
        ("version = 9\nnode_id = 1", "config_version"),
        ("version = 1", "config_missing_field"),
        ("version = 1\nnode_id = 1\nlisten = \"x\"", "config_value"),
        ("version = 1\nnode_id = 1\nlog_filter = \"a=b=c\"", "config_value"),
    ] {
        std::fs::write(file, text).unwrap();
        let ended = run(&["node", "--config", file, "--data-dir", data.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{text}: {said}");
        assert!(said.starts_with(&format!("error[{code}]: ")), "{text}: {said}");
        assert!(!data.exists(), "{text}");
    }
}

#[test]
fn a_taken_port_is_named_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&[
        "node",
        "--node-id",
        "1",
        "--bootstrap",
        "--data-dir",
        data.to_str().unwrap(),
        "--listen",
        &address,
    ]);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("error[bind]: cannot listen at") && said.contains(&address), "{said}");
    assert!(!data.exists());
}

#[test]
fn a_fresh_folder_without_a_cluster_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let listen = format!("127.0.0.1:{}", free_port());
    let peer = format!("127.0.0.1:{}", free_port());
    let flags = ["node", "--node-id", "1", "--data-dir", data.to_str().unwrap()];
    let ended = weir(&flags).args(["--listen", &listen, "--peer-listen", &peer]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("error[config_missing_field]") && said.contains("cluster_id"), "{said}");
    assert!(!data.exists());
}

#[test]
fn a_config_is_checked_and_dumped_without_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, "version = 1\nnode_id = 7\n").unwrap();
    let file = file.to_str().unwrap();
    let checked = run(&["config", "check", file]);
    assert!(checked.status.success() && String::from_utf8_lossy(&checked.stdout).contains("node 7"));
    let dumped = run(&["node", "--config", file, "--dump-config", "--bootstrap"]);
    let text = String::from_utf8_lossy(&dumped.stdout).into_owned();
    assert!(text.contains("node_id = 7") && text.contains("bootstrap = true"), "{text}");
    let version = run(&["--version"]);
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("weir 0."));
}

#[test]
fn a_node_ends_cleanly_when_its_parent_ends_and_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(folder.path());
    drop(node.stdin.take());
    assert_eq!(node.wait().unwrap().code(), Some(0));
    let mut node = start(folder.path());
    let pid = rustix::process::Pid::from_child(&node);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(node.wait().unwrap().code(), Some(0));
}

#[test]
fn a_node_that_waits_for_its_seat_says_that_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let ports: Vec<u16> = (0..6).map(|_| free_port()).collect();
    let at = |node: usize| {
        (format!("127.0.0.1:{}", ports[2 * node - 2]), format!("127.0.0.1:{}", ports[2 * node - 1]))
    };
    let peers = (1..=3).flat_map(|node| {
        let (edge, peer) = at(node);
        ["--peer".to_owned(), format!("{node}={peer},http://{edge}")]
    });
    let data = folder.path().join("data");
    // The others never start, so it asks for its seat for some seconds.
    let (edge, peer) = at(1);
    let cluster = "0199a000-0000-7000-8000-000000000001";
    let mut node =
        weir(&["node", "--node-id", "1", "--bootstrap", "--exit-with-parent", "--cluster-id", cluster])
            .args(["--data-dir", data.to_str().unwrap(), "--listen", &edge, "--peer-listen", &peer])
            .args(peers)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
    eventually(|| ask(&edge, "/livez").is_some());
    for (path, status) in [("/livez", "200"), ("/readyz", "503"), ("/api/v1/log", "503")] {
        let answer = ask(&edge, path).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains("is starting"),
            "{answer}"
        );
    }
    drop(node.stdin.take());
    node.wait().unwrap();
}

#[test]
fn two_processes_do_not_share_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = start(folder.path());
    let (listen, peer) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let flags = ["node", "--node-id", "1", "--data-dir", folder.path().to_str().unwrap()];
    let second = weir(&flags).args(["--listen", &listen, "--peer-listen", &peer]).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("error[data_folder]") && said.contains("in use"), "{said}");
    drop(first.stdin.take());
    first.wait().unwrap();
}

#[test]
fn a_cluster_of_dev_stops_at_once_and_without_a_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let flags = ["dev", "--nodes", "3", "--log-filter", "info", "--data", data.to_str().unwrap()];
    let mut dev = weir(&flags).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = dev.stderr.take().unwrap();
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        said.read_to_string(&mut text).map(|_| text)
    });
    let mut banner = std::io::BufReader::new(dev.stdout.take().unwrap()).lines();
    assert!(banner.any(|line| line.unwrap().contains("Ctrl-C stops it")), "it is not ready");
    let began = Instant::now();
    let pid = rustix::process::Pid::from_child(&dev);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = dev.wait().unwrap();
    let (took, said) = (began.elapsed(), said.join().unwrap().unwrap());
    assert_eq!(status.code(), Some(0), "{said}");
    for bad in ["ERROR", "not handed over", "did not stop", "took too long"] {
        assert!(!said.contains(bad), "{bad}: {said}");
    }
    for node in 1..=3 {
        let ended = |line: &str| line.starts_with(&format!("node-{node} |")) && line.contains("stopped");
        assert!(said.lines().any(ended), "node {node} did not end in order: {said}");
    }
    // A hand-over that nobody takes would cost 1.5 s; what it takes is less than a half.
    assert!(took < Duration::from_millis(1_400), "it took {took:?}: {said}");
}

#[test]
fn a_demo_goes_on_when_nobody_reads_what_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut demo = weir(&["demo", "--data", data.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(demo.stdout.take());
    let ended = demo.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!((ended.status.code(), said.as_str()), (Some(0), ""));
}

#[test]
fn the_binary_that_is_delivered_holds_no_planted_bug() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_weir")).unwrap();
    let holds = |text: &str| binary.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("WEIR_DATA_DIR"), "the test looks for names of variables");
    assert!(!holds(weir_types::planted::VARIABLE));
}

#[test]
fn a_projection_is_begun_and_tried_out_with_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let within = |arguments: &[&str]| weir(arguments).current_dir(folder.path()).output().unwrap();
    let begun = within(&["projection", "new", "totals"]);
    assert_eq!(begun.status.code(), Some(0), "{}", String::from_utf8_lossy(&begun.stderr));
    let files = ["totals.js", "totals.events.ndjson", "totals.states.json"];
    assert_eq!(String::from_utf8(begun.stdout).unwrap().split_whitespace().count(), files.len());
    let texts = || files.map(|file| std::fs::read_to_string(folder.path().join(file)).unwrap());
    let before = texts();
    assert_eq!(within(&["projection", "new", "totals"]).status.code(), Some(4), "it is there already");
    assert_eq!(texts(), before, "nothing is written over");

    let test = ["projection", "test", "totals.js", "--given", "totals.events.ndjson"];
    let expecting = [&test[..], &["--expect", "totals.states.json"]].concat();
    let passed = within(&expecting);
    assert_eq!(passed.status.code(), Some(0), "{}", String::from_utf8_lossy(&passed.stderr));
    let states: serde_json::Value = serde_json::from_slice(&passed.stdout).unwrap();
    assert_eq!(states, serde_json::from_str::<serde_json::Value>(&before[2]).unwrap());
    // What is printed can be expected.
    std::fs::write(folder.path().join("totals.states.json"), &passed.stdout).unwrap();
    assert_eq!(within(&expecting).status.code(), Some(0));

    let other = before[2].replace('7', "8");
    std::fs::write(folder.path().join("totals.states.json"), other).unwrap();
    let differs = within(&expecting);
    let told = String::from_utf8(differs.stderr).unwrap();
    assert_eq!(differs.status.code(), Some(5), "{told}");
    assert!(told.contains("$.ada.total: expected 8, found 7"), "{told}");
}

#[test]
fn a_reducer_that_fails_says_the_line_of_the_event_and_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let within = |arguments: &[&str]| weir(arguments).current_dir(folder.path()).output().unwrap();
    let source = "export const name = 'p'; export const events = ['*'];\nexport const initialState = () => ({});\n\
                  export function handler(state, event) {\n  state.city = event.data.address.city;\n}\n";
    std::fs::write(folder.path().join("p.js"), source).unwrap();
    let events = "{\"name\":\"a\",\"data\":{\"address\":{\"city\":\"x\"}}}\n\n{\"name\":\"b\",\"data\":{}}\n";
    std::fs::write(folder.path().join("e.ndjson"), events).unwrap();
    let failed = within(&["projection", "test", "p.js", "--given", "e.ndjson"]);
    let told = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1), "{told}");
    for part in ["line 3: event `b` at position 2: TypeError", "handler (projection.js:4:"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(String::from_utf8(failed.stdout).unwrap().contains("\"city\": \"x\""), "states so far are shown");
    let json = within(&["projection", "test", "p.js", "--given", "e.ndjson", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&answer["error"]["line"], &answer["states"]["__global__"]["city"]), (&3.into(), &"x".into()));
    let module = within(&["projection", "test", "e.ndjson", "--given", "e.ndjson"]);
    let told = String::from_utf8(module.stderr).unwrap();
    assert!(module.status.code() == Some(1) && told.contains("does not load"), "{told}");
}
