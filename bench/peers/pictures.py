"""The summary as pictures."""

import matplotlib

matplotlib.use("svg")
# The same figures make the same file.
matplotlib.rcParams.update({"svg.hashsalt": "weir", "font.size": 10, "axes.grid": True, "grid.alpha": 0.3})

import matplotlib.pyplot as plt

COLORS = {
    "weir": "#c0392b",
    "weir-outbox": "#e59866",
    "nats-default": "#2471a3",
    "nats-always": "#7fb3d5",
    "etcd": "#229954",
    "postgres": "#7d3c98",
}


def draw(summary, folder):
    """Three pictures; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    lines(summary, folder / "appends.svg", "appends/s", lambda run: run["callsPerSecond"])
    lines(summary, folder / "cpu.svg", "servers' CPU, ms per append", lambda run: run["serverCpuPer1000"])
    latency(summary, folder / "latency.svg")


def axes(label):
    figure, plot = plt.subplots(figsize=(8, 4.5), layout="constrained")
    plot.set_xscale("log", base=2)
    plot.set_yscale("log")
    plot.set_xlabel("appends in flight")
    plot.set_ylabel(label)
    plot.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    plot.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    return figure, plot


def style(system):
    # What is not fsynced on a majority is drawn in dashes.
    lazy = "not fsynced" in system["acknowledges"] or system["nodes"] == 1
    return {"color": COLORS.get(system["system"]), "linestyle": "--" if lazy else "-", "marker": "o", "markersize": 4}


def finish(figure, plot, summary, path):
    ticks = sorted({run["inFlight"] for system in summary["systems"] for run in system["runs"]})
    plot.set_xticks(ticks)
    plot.minorticks_off()
    plot.legend(fontsize=8, title="dashed: not fsynced on a majority", title_fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def lines(summary, path, label, of):
    figure, plot = axes(label)
    for system in summary["systems"]:
        numbers = [run["inFlight"] for run in system["runs"]]
        plot.plot(numbers, [of(run) for run in system["runs"]], label=system["title"].replace("`", ""), **style(system))
    finish(figure, plot, summary, path)


def latency(summary, path):
    figure, plot = axes("ms, p50 (line) to p99 (bar's end)")
    for place, system in enumerate(summary["systems"]):
        # Beside each other, so that the bars can be told apart.
        numbers = [run["inFlight"] * 1.05**place for run in system["runs"]]
        p50 = [run["p50Micros"] / 1000 for run in system["runs"]]
        up = [run["p99Micros"] / 1000 - middle for run, middle in zip(system["runs"], p50)]
        bars = {"capsize": 2, "elinewidth": 0.8}
        plot.errorbar(numbers, p50, yerr=[[0] * len(up), up], label=system["title"].replace("`", ""), **style(system), **bars)
    finish(figure, plot, summary, path)
