"""Measure, print a table, write benchmarks/results.json."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import (
    claims,
    conflicts,
    everyday,
    history,
    integrate,
    mcp,
    predict,
    remote,
    report,
    run,
    sparse,
    workspace,
)
from benchmarks.box import table

SUITES = {
    "claims": claims.MEASURES,
    "everyday": everyday.MEASURES,
    "conflicts": conflicts.MEASURES,
    "integrate": integrate.MEASURES,
    "run": run.MEASURES,
    "mcp": mcp.MEASURES,
    "report": report.MEASURES,
    "remote": remote.MEASURES,
    "workspace": workspace.MEASURES,
    "history": history.MEASURES,
    "sparse": sparse.MEASURES,
}
RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    """Run the suites named on the command line, or all; the results of others are kept. `predict` is for a repository of
    yours, and measures no time."""
    if sys.argv[1:2] == ["predict"]:
        sys.exit(predict.main(sys.argv[2:]))
    known = json.loads(RESULTS.read_text()).get("suites", {}) if RESULTS.exists() else {}
    shown = []
    for suite in sys.argv[1:] or list(SUITES):
        figures = []
        for measure in SUITES[suite]:
            print(f"measuring {suite}: {measure.__name__} …", file=sys.stderr, flush=True)
            figures += list(measure())
        rows = [{**asdict(figure), "ratio": round(figure.ratio, 3)} for figure in figures]
        known[suite] = {"machine": machine(), "figures": rows}
        shown += figures
    print(table(shown))
    RESULTS.write_text(json.dumps({"v": 1, "suites": known}, indent=1) + "\n")


def machine() -> dict[str, object]:
    """What a suite ran on; `load` as it was at its end."""
    version = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return {
        "python": platform.python_version(),
        "git": version,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
