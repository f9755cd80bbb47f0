"""JSON files of any size: streams, columns of values, edits by their bytes."""
