//! A real PostgreSQL in a folder of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    net::{TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// The user and group that own nothing: PostgreSQL does not run as root.
const NOBODY: u32 = 65_534;

pub struct Server {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    pub async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut initdb = program("initdb");
        initdb.args(["--auth=trust", "--username=weir", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
        let made = initdb.arg(folder.path().join("data")).stdout(Stdio::null()).status().unwrap();
        assert!(made.success(), "initdb ended with {made}");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder, port, child: None };
        server.restart().await;
        server
    }

    /// Starts it on its port and folder, and waits until it serves.
    pub async fn restart(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut child = self.spawn();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "postgres did not listen in 30 s");
            // It refuses while children of one that was killed are there.
            if child.try_wait().unwrap().is_some() {
                child = self.spawn();
            }
            std::thread::yield_now();
        }
        self.child = Some(child);
        drop(self.client().await);
    }

    fn spawn(&self) -> Child {
        let mut postgres = program("postgres");
        postgres.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        postgres.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-c", "fsync=off"]);
        postgres.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// As `kill -9`. Its children end by themselves when they see it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn url(&self) -> String {
        format!("postgresql://weir:secret@127.0.0.1:{}/postgres", self.port)
    }

    /// A connection, once it takes some.
    pub async fn client(&self) -> Client {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match tokio_postgres::connect(&self.url(), NoTls).await {
                Ok((client, connection)) => {
                    // It ends with the client.
                    tokio::spawn(async move { drop(connection.await) });
                    return client;
                }
                Err(error) => assert!(Instant::now() < deadline, "no connection in 30 s: {error}"),
            }
            tokio::task::yield_now().await;
        }
    }

    /// One number that a query gives; `None` when it fails.
    #[allow(dead_code, reason = "not all tests count")]
    pub async fn number(&self, sql: &str) -> Option<i64> {
        self.client().await.query_one(sql, &[]).await.ok()?.try_get(0).ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program(name: &str) -> Command {
    let mut command = Command::new(binaries().join(name));
    // Where the test was begun is no folder of nobody's.
    command.current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// `WEIR_POSTGRES_BIN`, else where the one on the path is, else what `cargo xtask postgres` fetched.
fn binaries() -> PathBuf {
    if let Some(named) = std::env::var_os("WEIR_POSTGRES_BIN") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        std::env::split_paths(&path).filter_map(|folder| folder.join("postgres").canonicalize().ok());
    let fetched =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/postgres/pgserver/pginstall/bin");
    on_path
        .filter_map(|file| Some(file.parent()?.to_owned()))
        .chain([fetched])
        .find(|folder| folder.join("initdb").is_file())
        .expect("this test needs PostgreSQL: put it on PATH, set WEIR_POSTGRES_BIN, or run `cargo xtask postgres`")
}
