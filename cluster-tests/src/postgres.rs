//! A real PostgreSQL, and a reader of what it holds.

use std::{
    fs::OpenOptions,
    io::Write as _,
    net::Ipv4Addr,
    os::unix::{
        fs::{OpenOptionsExt as _, chown},
        process::CommandExt as _,
    },
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::{binary, eventually, port::free_ports, process::Process};

/// The user and group that own nothing: PostgreSQL does not run as root.
const NOBODY: u32 = 65_534;

/// A PostgreSQL on a port of its own, which it keeps over restarts.
#[derive(Debug)]
pub struct Postgres {
    address: Ipv4Addr,
    port: u16,
    /// Its data; apart from all else, for it may belong to another user.
    folder: TempDir,
    log: TempDir,
    process: Option<Process>,
}

impl Postgres {
    /// Makes a database and starts it on an address of this machine, and waits until it serves.
    ///
    /// # Errors
    /// When there is no PostgreSQL, or it does not serve in time.
    pub async fn start(address: Ipv4Addr) -> Result<Self> {
        let make = || tempfile::Builder::new().prefix("weir-postgres-").tempdir();
        let (folder, log) = (make()?, make()?);
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        }
        let mut initdb = program("initdb")?;
        initdb.args(["--auth=trust", "--username=weir", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
        let made = initdb.arg(folder.path().join("data")).output().context("cannot start initdb")?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let trusted = folder.path().join("data/pg_hba.conf");
        OpenOptions::new().append(true).open(&trusted)?.write_all(b"host all all all trust\n")?;
        let mut server = Self { address, port: free_ports(1)?[0], folder, log, process: None };
        server.restart().await?;
        Ok(server)
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgresql://weir:secret@{}:{}/postgres", self.address, self.port)
    }

    /// Has it speak TLS from its next start on, with this certificate and its key.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn set_certificate(&self, certificate: &str, key: &str) -> Result<()> {
        let data = self.folder.path().join("data");
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = data.join(name);
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600).open(&file)?.write_all(text.as_bytes())?;
            if rustix::process::geteuid().is_root() {
                chown(&file, Some(NOBODY), Some(NOBODY))?;
            }
        }
        let mut config = OpenOptions::new().append(true).open(data.join("postgresql.conf"))?;
        Ok(config.write_all(b"ssl = on\n")?)
    }

    /// Ends it at once (SIGKILL). Its children end by themselves when they see it.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Starts it again on its port and its data, and waits until it serves.
    ///
    /// # Errors
    /// When it does not serve in time.
    pub async fn restart(&mut self) -> Result<()> {
        let mut last = Ok(());
        for _ in 0..5 {
            // It refuses while children of one that was killed are there.
            let mut postgres = program("postgres")?;
            postgres.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
            postgres.args(["-h", &self.address.to_string(), "-p", &self.port.to_string(), "-c", "fsync=off"]);
            let log = self.log.path().join("postgres.log");
            self.process = Some(Process::start("postgres", &mut postgres, &log)?);
            let serves = || async { self.client().await.map(drop) };
            last = eventually("PostgreSQL serves", Duration::from_secs(10), serves).await;
            if last.is_ok() {
                return last;
            }
            self.kill()?;
        }
        last
    }

    /// A connection.
    ///
    /// # Errors
    /// When it takes none.
    pub async fn client(&self) -> Result<Client> {
        connect(&self.url()).await
    }

    /// One number that a query gives.
    ///
    /// # Errors
    /// When it gives none.
    pub async fn number(&self, sql: &str) -> Result<i64> {
        Ok(self.client().await?.query_one(sql, &[]).await?.try_get(0)?)
    }
}

/// A connection to the database of a URL.
///
/// # Errors
/// When it takes none.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends with the client.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

fn program(name: &str) -> Result<Command> {
    let mut command = Command::new(binary::postgres()?.join(name));
    // Where this program was begun is no folder of nobody's.
    command.current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    Ok(command)
}
