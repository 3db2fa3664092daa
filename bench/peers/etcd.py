#!/usr/bin/env python3
"""etcd: three nodes, one key per event, put by a transaction that compares versions."""

import fetch
from servers import free_ports, listens, until
from system import System, loaded, main

NODES = 3


class Etcd(System):
    name = "etcd"
    title = "etcd, compare and put"
    acknowledges = "fsynced on 2 of 3 nodes"
    settings = "`quota-backend-bytes` 8 GiB, 4 connections to the leader"

    def version(self):
        return fetch.version(fetch.etcd(), "--version")

    def start(self, servers):
        ports = free_ports(2 * NODES)
        clients, peers = ports[:NODES], ports[NODES:]
        members = ",".join(f"n{number + 1}=http://127.0.0.1:{port}" for number, port in enumerate(peers))
        for number in range(NODES):
            client, peer = f"http://127.0.0.1:{clients[number]}", f"http://127.0.0.1:{peers[number]}"
            command = [fetch.etcd(), "--name", f"n{number + 1}", "--data-dir", servers.folder / f"n{number + 1}"]
            command += ["--listen-client-urls", client, "--advertise-client-urls", client]
            command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
            command += ["--initial-cluster", members, "--initial-cluster-state", "new"]
            command += ["--quota-backend-bytes", 8 * 1024**3, "--log-level", "warn"]
            servers.start(f"etcd{number + 1}", command)
        for port in clients:
            until(f"etcd listens on {port}", lambda port=port: listens(port))
        return loaded(servers, "etcd", ",".join(f"http://127.0.0.1:{port}" for port in clients))


SYSTEMS = [Etcd()]

if __name__ == "__main__":
    main(SYSTEMS)
