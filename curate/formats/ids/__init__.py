"""Images of instance ids, in whatever kind of file: layouts, codes, edits."""
