"""`python -m git_fleet`: the same as `git fleet`."""

from __future__ import annotations

from git_fleet.cli.main import main

if __name__ == "__main__":
    main()
