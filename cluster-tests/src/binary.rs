//! Where the programs under test are.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The `weir` binary: `WEIR_BIN`, else the one that was built beside this program.
///
/// # Errors
/// When neither is there.
pub fn weir() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("WEIR_BIN") {
        let named = PathBuf::from(named);
        if !named.is_file() {
            bail!("WEIR_BIN names {}, which is not there", named.display());
        }
        return Ok(named);
    }
    beside("weir")
}

/// A program that was built beside this one.
///
/// # Errors
/// When it was not.
pub fn beside(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("this program does not know where it is")?;
    // A test is in `target/debug/deps`, a program in `target/debug`.
    let found = this.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.with_context(|| {
        format!(
            "no `{name}` beside this program: run `cargo build --workspace --bins`, or `cargo xtask test`"
        )
    })
}

/// The nats-server: `WEIR_NATS_SERVER`, else the one on the path, else the one that `cargo xtask nats` fetched.
///
/// # Errors
/// When there is none.
pub fn nats_server() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("WEIR_NATS_SERVER") {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("nats-server"));
    let fetched = workspace().join("target/tools/nats/bin/nats-server");
    let mut candidates = on_path.chain([fetched]);
    candidates
        .find(|file| file.is_file())
        .context("no nats-server: run `cargo xtask nats`, or set WEIR_NATS_SERVER")
}

/// The folder of PostgreSQL's programs: `WEIR_POSTGRES_BIN`, else that of the one on the path, else the one that
/// `cargo xtask postgres` fetched.
///
/// # Errors
/// When there is none.
pub fn postgres() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("WEIR_POSTGRES_BIN") {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).filter_map(|dir| dir.join("postgres").canonicalize().ok());
    let on_path = on_path.filter_map(|file| Some(file.parent()?.to_owned()));
    let fetched = workspace().join("target/tools/postgres/pgserver/pginstall/bin");
    let mut candidates = on_path.chain([fetched]);
    candidates
        .find(|dir| dir.join("initdb").is_file())
        .context("no PostgreSQL: run `cargo xtask postgres`, or set WEIR_POSTGRES_BIN")
}

/// The workspace's folder.
#[must_use]
pub fn workspace() -> PathBuf {
    let this = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    this.parent().expect("this crate lies in the workspace's folder").to_path_buf()
}
