"""JSON of any size: streaming reader, columns of values, byte-exact edits."""
