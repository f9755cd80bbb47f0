"""Checks that a write touched nothing but its edits, without the formats' readers.

Nothing here shares code with what reads and writes the formats, so that a fault there is seen here.
A check takes the source, what was written and the edits, and returns what is wrong as a clause, ""
where nothing is. Memory does not grow with the dataset.
"""
