"""Datasets in zips, tars and gzip files: any format, read unpacked and written packed."""
