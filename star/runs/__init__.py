"""Run folders: what a run leaves behind, how it is written, read back and shown."""
