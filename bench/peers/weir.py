#!/usr/bin/env python3
"""Weir: three nodes, without NATS and with their outbox feeding one."""

import urllib.request
import uuid

import fetch
import nats
from servers import free_ports, until
from system import System, main

NODES = 3


class Weir(System):
    name = "weir"
    title = "Weir"
    acknowledges = "fsynced on 2 of 3 nodes"
    settings = "one runtime thread per node (`TOKIO_WORKER_THREADS=1`), one append session to the leader, no outbox"
    outbox = False

    def version(self):
        return fetch.version(fetch.weir(), "--version")

    def start(self, servers):
        bus = nats.start_alone(servers) if self.outbox else None
        pids = servers.pids()
        ports, cluster = free_ports(2 * NODES), str(uuid.uuid4())
        edges, peers = ports[:NODES], ports[NODES:]
        members = [f"{n}=127.0.0.1:{peers[n - 1]},http://127.0.0.1:{edges[n - 1]}" for n in range(1, NODES + 1)]
        for n in range(1, NODES + 1):
            self.start_node(servers, n, cluster, edges[n - 1], peers[n - 1], members, bus)
        urls = [f"http://127.0.0.1:{port}" for port in edges]
        for url in urls:
            until(f"{url} is ready", lambda url=url: ready(url))
        command = [fetch.weir(), "bench", "append", "--json", "--server", ",".join(urls)]
        command += ["--data", servers.folder / "n1"]
        for name, pid in pids:
            command += ["--pid", f"{name}={pid}"]
        return command

    def start_node(self, servers, number, cluster, edge, peer, members, bus):
        command = [fetch.weir(), "node", "--node-id", number, "--cluster-id", cluster, "--bootstrap"]
        command += ["--data-dir", servers.folder / f"n{number}", "--log-format", "json"]
        command += ["--listen", f"127.0.0.1:{edge}", "--peer-listen", f"127.0.0.1:{peer}"]
        for member in members:
            command += ["--peer", member]
        if bus:
            command += ["--nats", bus]
        servers.start(f"weir{number}", command, env={"TOKIO_WORKER_THREADS": "1"})

    def plan_flags(self, plan, in_flight):
        flags = super().plan_flags(plan, in_flight)
        for flag in ("--duration", "--warmup"):
            at = flags.index(flag) + 1
            flags[at] = f"{round(float(flags[at]) * 1000)}ms"
        return flags


class WeirWithOutbox(Weir):
    name = "weir-outbox"
    title = "Weir, outbox feeding NATS"
    settings = "as Weir, and the leader publishes every event to one nats-server on the same cores"
    outbox = True


def ready(url):
    with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
        return answer.status == 200


SYSTEMS = [Weir(), WeirWithOutbox()]

if __name__ == "__main__":
    main(SYSTEMS)
