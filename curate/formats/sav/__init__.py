"""SA-V masklets."""
