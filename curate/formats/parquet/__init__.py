"""Masks in the rows of Parquet files."""
