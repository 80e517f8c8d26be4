"""The template's speed, measured against its alternatives: `python -m proof.bench`."""
