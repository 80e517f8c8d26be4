"""Agents of several kinds, each in one file: `make run ARGS="--agent examples.job"` serves one."""
