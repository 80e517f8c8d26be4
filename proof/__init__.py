"""Why you may trust the engine: its model, its chaos harness, its benchmarks, their tests."""
