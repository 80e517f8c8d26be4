"""Who may create streams, and who may read which."""
