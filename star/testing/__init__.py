"""Suites that extensions must pass, ours and those of users.

`executors`, `objectives` and `algorithms` hold classes of pytest tests to derive from; `structures`
holds functions that raise AssertionError.
"""
