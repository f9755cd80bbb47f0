"""SA-1B, and records as SAM's generator writes them."""
