"""The figures of a report, one subject a file; each function gives Vega-Lite and its rows."""
