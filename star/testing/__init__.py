"""Suites that extensions must pass, ours and those of users, for pytest.

Each module has a class of tests to derive from, and one method to override that makes what is
tested: `executors`, `objectives`, `structures` and `algorithms`.
"""
