"""Fixtures of the wires' tests: those of the flows, so the function is run as they run it."""

from tests.flows.conftest import dynamodb_url, moto_url, start, task_root

__all__ = ["dynamodb_url", "moto_url", "start", "task_root"]
