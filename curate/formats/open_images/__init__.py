"""Open Images: a PNG a mask, listed in CSV files."""
