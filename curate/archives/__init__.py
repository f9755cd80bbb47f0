"""Zips, tars and gzip files, checked and unpacked into a folder of the user's cache."""
