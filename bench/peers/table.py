"""The summary as Markdown."""


PICTURES = {
    "appends": "appends per second over appends in flight",
    "latency": "p50 and p99 over appends in flight",
    "cpu": "CPU of all servers for an append, over appends in flight",
}


def markdown(summary):
    machine = summary["machine"]
    lines = [
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memoryMb'] / 1024:.0f} GB, kernel {machine['kernel']}, "
        f"{machine['fileSystem']}; client and all servers of one system on them at a time. {summary['size']} bytes of JSON, "
        f"each append guarded, {summary['streams']:,} streams in no order, closed loop, {summary['seconds']:.0f} s a run "
        f"on data of its own round, {rounds(summary['rounds'])}, in turn. Medians; the lowest and highest rate in brackets.",
        "",
        "| system | in flight | appends/s | p50 ms | p99 ms | servers' CPU ms per append | client's | errors |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for system in summary["systems"]:
        lines += [row(system, run) for run in system["runs"]]
    for picture in PICTURES:
        lines += ["", f"![{PICTURES[picture]}](performance/{picture}.svg)"]
    lines += ["", "| system | version | the answer means | settings |", "| --- | --- | --- | --- |"]
    for system in summary["systems"]:
        lines.append(f"| {system['title']} | {system['version']} | {system['acknowledges']} | {system['settings']} |")
    lines += ["", *notes(summary)]
    return "\n".join(lines)


def rounds(number):
    return "one round" if number == 1 else f"{number} rounds"


def row(system, run):
    low, high = run["rates"]
    spread = f" ({low:,.0f} to {high:,.0f})" if run["runs"] > 1 else ""
    mark = "" if run["quiet"] else " †"
    # CPU seconds for 1,000 appends are milliseconds for one.
    servers = f"{run['serverCpuPer1000']:.3f}"
    if run["busCpuPer1000"]:
        servers += f", of it NATS {run['busCpuPer1000']:.3f}"
    return (
        f"| {system['title']} | {run['inFlight']} | {run['callsPerSecond']:,.0f}{spread}{mark} "
        f"| {run['p50Micros'] / 1000:.2f} | {run['p99Micros'] / 1000:.2f} "
        f"| {servers} | {run['clientCpuPer1000']:.3f} | {run['errors']} |"
    )


def notes(summary):
    said = []
    if any(not run["quiet"] for system in summary["systems"] for run in system["runs"]):
        said.append("† Strangers took more than 0.15 of a core in every run of this line: it tells little.")
    if summary["logBytesPerPayloadByte"]:
        said.append(
            f"Weir's log took {summary['logBytesPerPayloadByte']:.2f} bytes per byte of data, "
            f"its index {summary['indexBytesPerEvent']:.0f} bytes per event, on each node."
        )
    return said
