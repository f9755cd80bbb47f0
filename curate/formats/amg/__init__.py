"""The output of Segment Anything's amg.py."""
