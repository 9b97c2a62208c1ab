"""Use cases: functions that return values and never print."""
