//! A real `nats-server` child, with JetStream in a folder of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// `WEIR_NATS_SERVER`, else the one on the path, else the one that `cargo xtask nats` fetched.
fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("WEIR_NATS_SERVER") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/nats/bin/nats-server");
    std::env::split_paths(&path)
        .map(|folder| folder.join("nats-server"))
        .chain([fetched])
        .find(|file| file.is_file())
        .expect(
            "this test needs a nats-server: put one on PATH, set WEIR_NATS_SERVER, or run `cargo xtask nats`",
        )
}

pub struct NatsServer {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl NatsServer {
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let (child, port) = serve(folder.path(), -1, &[]);
        Self { folder, port, child }
    }

    /// Three servers, `bus-0` to `bus-2`, that keep streams together.
    pub fn start_three() -> Vec<Self> {
        let reserved: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let routes: Vec<String> =
            reserved.iter().map(|socket| format!("nats://{}", socket.local_addr().unwrap())).collect();
        drop(reserved);
        let start = |number: usize| {
            let folder = TempDir::new().unwrap();
            let (name, all) = (format!("bus-{number}"), routes.join(","));
            let flags =
                ["-n", &name, "--cluster_name", "bus", "--cluster", &routes[number], "--routes", &all];
            let (child, port) = serve(folder.path(), -1, &flags);
            Self { folder, port, child }
        };
        (0..3).map(start).collect()
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again after a kill, on the same port and folder; not one of three.
    pub fn restart(&mut self) {
        let (child, port) = serve(self.folder.path(), i32::from(self.port), &[]);
        assert_eq!(port, self.port);
        self.child = child;
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Starts a server and reads its log until it is ready; port −1 is any free one.
fn serve(folder: &Path, port: i32, flags: &[&str]) -> (Child, u16) {
    let mut command = Command::new(binary());
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(folder).args(flags);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let (mut said, mut port) = (String::new(), None);
    while !said.contains("Server is ready") {
        let begin = said.len();
        assert!(log.read_line(&mut said).unwrap() > 0, "nats-server ended:\n{said}");
        if let Some((_, address)) = said[begin..].split_once("client connections on ") {
            port = address.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        }
    }
    // It would stop at a full pipe.
    std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
    (child, port.expect("it names its port before it is ready"))
}
