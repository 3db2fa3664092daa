//! A real `nats-server` child, with JetStream in a folder of its own.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
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
        let child = spawn(folder.path(), -1);
        let port = port_of(folder.path(), child.id());
        Self { folder, port, child }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again after a kill, on the same port and folder.
    pub fn restart(&mut self) {
        self.child = spawn(self.folder.path(), i32::from(self.port));
        port_of(self.folder.path(), self.child.id());
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn spawn(folder: &Path, port: i32) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new(binary());
    command
        .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js"])
        .arg("-sd")
        .arg(folder.join("js"))
        .arg("--ports_file_dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command.spawn().unwrap()
}

/// Waits for the ports file, `nats-server_<pid>.ports`.
fn port_of(folder: &Path, pid: u32) -> u16 {
    let begun = Instant::now();
    loop {
        if let Some(port) = read_port(folder, pid) {
            return port;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "nats-server did not say its port");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn read_port(folder: &Path, pid: u32) -> Option<u16> {
    let suffix = format!("_{pid}.ports");
    let mut files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let file = files.find(|file| file.to_string_lossy().ends_with(&suffix))?;
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}
