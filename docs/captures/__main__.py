"""Make the captures of README again: python -m docs.captures [--keep DIR] [NAME…]"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from docs.captures import scene, shots

HERE = Path(__file__).parent


def main() -> None:
    """Play the scene once, and take every capture that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the scratch repository in DIR")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(shots.SHOTS)}; default: all")
    asked = parser.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="git-fleet-captures-"))
    folder.mkdir(exist_ok=True)
    os.environ.update(scene.environment(folder))
    try:
        repo = scene.play(folder)
        for name in asked.names or shots.SHOTS:
            place = HERE / f"{name}.svg"
            place.write_text(shots.take(name, repo), encoding="utf-8")
            sys.stdout.write(f"{place}\n")
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
