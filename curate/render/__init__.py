"""Outlines, painted masks, crops and formatted numbers for the report and the review page."""
