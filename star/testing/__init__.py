"""Suites that extensions must pass, ours and those of users: functions that raise
AssertionError."""
