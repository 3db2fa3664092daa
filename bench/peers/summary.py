"""Medians of the rounds, per system and number in flight."""

import json
from pathlib import Path
from statistics import median

from system import QUIET

# How they stand in the table; a system that is not named here comes last.
ORDER = ["weir", "weir-outbox", "nats-default", "nats-always", "etcd", "postgres"]
FIGURES = ["callsPerSecond", "p50Micros", "p90Micros", "p99Micros", "p999Micros", "maxMicros"]


def records(folder):
    found = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    if not found:
        raise SystemExit(f"{folder} holds no results: run bench/peers/run")
    return found


def summary(found):
    """What the table, the pictures and the goals are made of."""
    systems = {}
    for record in found:
        entry = {key: record[key] for key in ("system", "title", "version", "nodes", "acknowledges", "settings")}
        systems.setdefault(record["system"], {**entry, "all": []})["all"] += record["bench"]["runs"]
    for system in systems.values():
        runs = system.pop("all")
        levels = sorted({run["inFlight"] for run in runs})
        system["runs"] = [level(number, [run for run in runs if run["inFlight"] == number]) for number in levels]
    weir = [data for record in found if record["system"] == "weir" for data in record["bench"].get("data", [])]
    first = found[0]["bench"]
    first["machine"]["kernel"] = first["machine"]["kernel"].split("-")[0]
    machine = {key: first["machine"][key] for key in ("cores", "cpu", "kernel", "memoryMb")}
    return {
        "machine": {**machine, "fileSystem": found[0]["fileSystem"]},
        "size": first["size"],
        "streams": first["streams"],
        "seconds": first["runs"][0]["seconds"],
        "rounds": max(record["round"] for record in found),
        "systems": sorted(systems.values(), key=place),
        "logBytesPerPayloadByte": middle([data["logBytesPerPayloadByte"] for data in weir]),
        "indexBytesPerEvent": middle([data["indexBytesPerEvent"] for data in weir]),
    }


def place(system):
    name = system["system"]
    return ORDER.index(name) if name in ORDER else len(ORDER)


def level(number, runs):
    """One number in flight: medians of the runs on a quiet machine, or of all when none was quiet."""
    quiet = [run for run in runs if run["otherCores"] <= QUIET]
    counted = quiet or runs
    rates = [run["callsPerSecond"] for run in counted]
    line = {"inFlight": number, "runs": len(counted), "quiet": bool(quiet), "rates": [min(rates), max(rates)]}
    for figure in FIGURES:
        line[figure] = median(run[figure] for run in counted)
    line["serverCpuPer1000"] = median(cpu(run, False) for run in counted)
    line["clientCpuPer1000"] = median(cpu(run, True) for run in counted)
    line["busCpuPer1000"] = median(bus(run) for run in counted)
    line["errors"] = sum(sum(run["errors"].values()) for run in counted)
    return line


def cpu(run, client):
    """Seconds of CPU for 1,000 appends: of the client, or of all servers."""
    lines = [line for line in run["cpu"] if (line["name"] == "client") == client]
    return sum(line["secondsPer1000Calls"] or 0 for line in lines)


def bus(run):
    """Of them, what the NATS behind an outbox took."""
    return sum(line["secondsPer1000Calls"] or 0 for line in run["cpu"] if line["name"] == "nats")


def middle(figures):
    known = [figure for figure in figures if figure is not None]
    return median(known) if known else None
