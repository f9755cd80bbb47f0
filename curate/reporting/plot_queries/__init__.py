"""Queries of what plots draw, in bounded memory: DuckDB counts, a few thousand cells come back."""
