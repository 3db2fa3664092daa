#!/usr/bin/env python3
"""NATS JetStream: three servers, a stream of three replicas on file, one subject per entity."""

import fetch
from servers import free_ports, listens, until
from system import System, loaded, main

SERVERS = 3


class Nats(System):
    name = "nats-default"
    title = "NATS JetStream R3, default sync"
    acknowledges = "written on 2 of 3 nodes, not fsynced (`sync_interval` 2 min)"
    settings = "4 connections to the stream's leader, `Nats-Expected-Last-Subject-Sequence`"
    sync = None

    def version(self):
        return fetch.version(fetch.nats_server(), "--version")

    def start(self, servers):
        ports = free_ports(2 * SERVERS)
        clients, routes = ports[:SERVERS], ports[SERVERS:]
        for number in range(SERVERS):
            config = servers.folder / f"n{number + 1}.conf"
            config.write_text(self.config(servers, number, clients, routes))
            servers.start(f"nats{number + 1}", [fetch.nats_server(), "--config", config])
        for port in clients:
            until(f"nats-server listens on {port}", lambda port=port: listens(port))
        url = ",".join(f"n{number + 1}=nats://127.0.0.1:{port}" for number, port in enumerate(clients))
        return loaded(servers, "nats", url)

    def config(self, servers, number, clients, routes):
        sync = f", sync_interval: {self.sync}" if self.sync else ""
        others = ", ".join(f"nats://127.0.0.1:{port}" for port in routes)
        return f"""
server_name: n{number + 1}
listen: 127.0.0.1:{clients[number]}
jetstream {{ store_dir: "{servers.folder}/n{number + 1}"{sync} }}
cluster {{ name: bench, listen: 127.0.0.1:{routes[number]}, routes: [{others}] }}
"""


class NatsAlways(Nats):
    name = "nats-always"
    title = "NATS JetStream R3, `sync_interval: always`"
    acknowledges = "fsynced on 2 of 3 nodes"
    settings = "as NATS JetStream R3 with `sync_interval: always`"
    sync = "always"


def start_alone(servers):
    """One server with JetStream; its URL."""
    port = free_ports(1)[0]
    command = [fetch.nats_server(), "--addr", "127.0.0.1", "--port", port, "--jetstream", "--store_dir", servers.folder / "nats"]
    servers.start("nats", command)
    until("nats-server listens", lambda: listens(port))
    return f"nats://127.0.0.1:{port}"


SYSTEMS = [Nats(), NatsAlways()]

if __name__ == "__main__":
    main(SYSTEMS)
