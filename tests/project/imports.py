"""What importing a module brings in, seen from a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

from tests.project.source import ROOT

_PROBE = """
import importlib, sys
before = set(sys.modules)
importlib.import_module(sys.argv[1])
print("\\n".join(set(sys.modules) - before))
"""


def brought_in(module: str) -> set[str]:
    """Full names of all modules that come in with `module`, beyond what an interpreter has anyway."""
    command = [sys.executable, "-c", _PROBE, module]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def third_party(module: str) -> set[str]:
    """Top-level packages that come in with `module`, without git_fleet and the standard library."""
    packages = {name.partition(".")[0] for name in brought_in(module)}
    return packages - sys.stdlib_module_names - {"git_fleet"}
