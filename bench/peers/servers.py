"""Server processes of a run: started in a folder of their own, ended by their own ids."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATIENCE = 60.0


def free_ports(count):
    """This many ports that nobody listens on, all held until the last is found."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def until(what, probe, patience=PATIENCE):
    """Waits until the probe is true; what it returned."""
    end = time.monotonic() + patience
    while True:
        try:
            found = probe()
        except OSError:
            found = None
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not so within {patience:.0f} s")
        time.sleep(0.05)


def listens(port):
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def file_system(folder):
    """The type of the file system that a folder lies on."""
    best = ("", "")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind = line.split()[:3]
        inside = os.path.realpath(folder) + "/"
        if inside.startswith(mount.rstrip("/") + "/") and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def unprivileged():
    """The user that a server runs as which refuses to be root, or None when we are not."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("this user is root, and there is no user `postgres` or `nobody` to run PostgreSQL as")


class Servers:
    """The servers of one system. Use it with `with`: they and their folder are gone afterwards."""

    def __init__(self, parent=None):
        # Asked to end, we end our servers too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.folder = Path(tempfile.mkdtemp(prefix="weir-peers-", dir=parent))
        self.folder.chmod(0o755)
        if file_system(self.folder) == "tmpfs":
            self.folder.rmdir()
            raise RuntimeError("the data would lie in memory: name a folder on a disk with --data")
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for name, process in reversed(self.running):
            self.end(name, process)
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"data and logs are kept in {self.folder}")

    def start(self, name, command, env=None, user=None):
        """Starts a process with its output in `name.log`; the process."""
        log = open(self.folder / f"{name}.log", "ab")
        environment = {**os.environ, **(env or {})}
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        command = [str(word) for word in command]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=self.folder, **as_user
        )
        self.running.append((name, process))
        return process

    def pids(self):
        return [(name, process.pid) for name, process in self.running]

    @staticmethod
    def end(name, process):
        if process.poll() is None:
            process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
