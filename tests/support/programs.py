"""Stand-ins for programs that are handed something: they are found on PATH, answer, and write down what they were given."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = """\
import json, os, pathlib, sys
folder = pathlib.Path(__file__).parent
number = len(list(folder.glob("call-*")))
given = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
names = sorted(name for name in os.environ if name.startswith(("GIT_", "FLEET_")))
call = {"argv": [pathlib.Path(__file__).name, *sys.argv[1:]], "given": given, "env": names}
(folder / f"call-{number:03}").write_text(json.dumps(call))
answers = folder / f"{pathlib.Path(__file__).name}.answers"
lines = answers.read_text().splitlines() if answers.exists() else []
code, _, text = (lines[number] if number < len(lines) else "0 done").partition(" ")
print(text, file=sys.stderr if int(code) else sys.stdout)
sys.exit(int(code))
"""


@dataclass(frozen=True)
class Programs:
    """Programs of these names, in front of whatever else is on PATH."""

    folder: Path

    def answer(self, name: str, *answers: str) -> None:
        """What the n-th call of any of them is answered with if it is this one: `CODE TEXT`."""
        (self.folder / f"{name}.answers").write_text("\n".join(answers))

    def calls(self) -> list[dict[str, Any]]:
        """What they were given, in order: `argv`, `given` on standard input, `env`: names of git and the fleet."""
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("call-*"))]


def stand_ins(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Programs:
    """Put them there."""
    folder.mkdir()
    for name in names:
        program = folder / name
        program.write_text(f"#!{sys.executable}\n{_PROGRAM}")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return Programs(folder)
