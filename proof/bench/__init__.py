"""How fast it is, measured against what one would use instead: `python -m proof.bench`."""
