"""Hydra configuration of every command, one group a folder."""
