"""Executors: what evaluates many candidates, by worker processes or from a table."""
