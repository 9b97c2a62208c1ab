"""Measure, print a table, write benchmarks/results.json."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import claims, everyday
from benchmarks.box import table

SUITES = {"claims": claims.MEASURES, "everyday": everyday.MEASURES}
RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    """Run the suites named on the command line, or all."""
    chosen = sys.argv[1:] or list(SUITES)
    figures = []
    for suite in chosen:
        for measure in SUITES[suite]:
            print(f"measuring {suite}: {measure.__name__} …", file=sys.stderr, flush=True)
            figures += list(measure())
    print(table(figures))
    about = {
        "python": platform.python_version(),
        "git": subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.split()[
            2
        ],
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    rows = [{**asdict(figure), "ratio": round(figure.ratio, 3)} for figure in figures]
    RESULTS.write_text(json.dumps({"v": 1, "machine": about, "figures": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
