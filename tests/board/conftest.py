"""The command line, as its own tests have it."""

from tests.cli.conftest import approved, fleet, planned

__all__ = ["approved", "fleet", "planned"]
