"""git-fleet: many coding agents, one repository, one reviewed commit per task."""

__version__ = "0.1.0"
