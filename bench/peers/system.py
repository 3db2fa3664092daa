"""A system that is measured: how it is started, what it promises, and how it gets its load."""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, field

import fetch
from servers import Servers, file_system

# Cores that strangers may take before a run is made again.
QUIET = 0.15


@dataclass
class Plan:
    """How each system is measured."""

    in_flight: list = field(default_factory=lambda: [1, 16, 64, 256])
    warmup: float = 1.5
    window: float = 5.0
    streams: int = 10_000
    size: int = 256
    data: str = None
    tries: int = 3

    @staticmethod
    def flags(parser):
        parser.add_argument("--in-flight", default="1,16,64,256", help="appends in flight, one run each")
        parser.add_argument("--window", type=float, default=5.0, help="seconds that a run measures")
        parser.add_argument("--warmup", type=float, default=1.5, help="seconds that it goes before")
        parser.add_argument("--streams", type=int, default=10_000)
        parser.add_argument("--size", type=int, default=256, help="bytes of JSON of an event")
        parser.add_argument("--tries", type=int, default=3, help="how often a run is made while strangers take the cores")
        parser.add_argument("--data", help="a folder on the disk to measure on; the system's temporary folder if not given")

    @classmethod
    def of(cls, args):
        in_flight = [int(number) for number in args.in_flight.split(",")]
        return cls(in_flight, args.warmup, args.window, args.streams, args.size, args.data, args.tries)


class System:
    """One system. A subclass says what it is and starts its servers."""

    name = ""
    title = ""
    nodes = 3
    # What is true of the data when the answer is given.
    acknowledges = ""
    # What differs from the defaults.
    settings = ""

    def start(self, servers):
        """Starts the servers and returns the load's command, without the plan's flags."""
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def measure(self, plan):
        """All runs on fresh data; the record of them."""
        with Servers(plan.data) as servers:
            load = self.start(servers)
            report = self.load(load, plan, plan.in_flight)
            for _ in range(plan.tries - 1):
                noisy = [run["inFlight"] for run in report["runs"] if run["otherCores"] > QUIET]
                if not noisy:
                    break
                again = self.load(load, plan, noisy)
                report["runs"] = [quieter(run, again["runs"]) for run in report["runs"]]
            kind = file_system(servers.folder)
        return {
            "system": self.name,
            "title": self.title,
            "version": self.version(),
            "nodes": self.nodes,
            "acknowledges": self.acknowledges,
            "settings": self.settings,
            "fileSystem": kind,
            "bench": report,
        }

    def load(self, load, plan, in_flight):
        command = [str(word) for word in load] + self.plan_flags(plan, in_flight)
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=self.patience(plan))
        if ran.returncode != 0:
            raise RuntimeError(f"{self.name}: the load failed: {ran.stderr.strip()}")
        return json.loads(ran.stdout)

    @staticmethod
    def patience(plan):
        """Seconds after which a load hangs."""
        return len(plan.in_flight) * (plan.warmup + plan.window + 15) + 60

    def plan_flags(self, plan, in_flight):
        return [
            "--in-flight", ",".join(map(str, in_flight)),
            "--duration", str(plan.window), "--warmup", str(plan.warmup),
            "--streams", str(plan.streams), "--size", str(plan.size),
        ]


def quieter(run, others):
    """The run, or one of the same number in flight on a quieter machine."""
    same = [other for other in others if other["inFlight"] == run["inFlight"]]
    return min([run, *same], key=lambda one: one["otherCores"])


def loaded(servers, peer, url):
    """The command that loads a peer, with every server's process."""
    command = [fetch.load(), peer, "--url", url]
    for name, pid in servers.pids():
        command += ["--pid", f"{name}={pid}"]
    return command


def main(systems):
    """Measures the systems of one peer, one JSON line each on stdout."""
    parser = argparse.ArgumentParser(description="; ".join(f"{system.name}: {system.title}" for system in systems))
    parser.add_argument("--only", help="one of: " + ", ".join(system.name for system in systems))
    Plan.flags(parser)
    args = parser.parse_args()
    for system in systems:
        if args.only in (None, system.name):
            json.dump(system.measure(Plan.of(args)), sys.stdout)
            print()
