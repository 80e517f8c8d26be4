"""What may be used up, by one and by all."""
