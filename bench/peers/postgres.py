#!/usr/bin/env python3
"""PostgreSQL: one node; an event, unique in stream and version, and an outbox row in one transaction."""

import os
import subprocess

import fetch
from servers import free_ports, listens, unprivileged, until
from system import System, loaded, main

SETTINGS = {
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "max_connections": "100",
    "synchronous_commit": "on",
    "fsync": "on",
    "listen_addresses": "127.0.0.1",
}


class Postgres(System):
    name = "postgres"
    title = "PostgreSQL, event and outbox row"
    nodes = 1
    acknowledges = "fsynced on 1 node; there is no other"
    settings = "`shared_buffers=1GB`, `max_wal_size=4GB`, up to 64 connections, `synchronous_commit=on`"

    def version(self):
        programs, env = fetch.postgres()
        return fetch.version(programs / "postgres", "--version", env={**os.environ, **env})

    def start(self, servers):
        programs, env = fetch.postgres()
        user, data, port = unprivileged(), servers.folder / "data", free_ports(1)[0]
        data.mkdir(mode=0o700)
        as_user = {}
        if user:
            os.chown(data, user.pw_uid, user.pw_gid)
            as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        init = [programs / "initdb", "--pgdata", data, "--username", "bench", "--auth", "trust", "--no-sync"]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **env}, cwd=data, **as_user)
        command = [programs / "postgres", "-D", data, "-p", port, "-k", ""]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        servers.start("postgres", command, env=env, user=user)
        until("PostgreSQL listens", lambda: listens(port))
        url = f"host=127.0.0.1 port={port} user=bench dbname=postgres"
        until("PostgreSQL has recovered", lambda: "ready to accept" in (servers.folder / "postgres.log").read_text())
        return loaded(servers, "postgres", url)


SYSTEMS = [Postgres()]

if __name__ == "__main__":
    main(SYSTEMS)
