"""Verbs that join several rooms, a module for each; all verbs are names of :mod:`curate`."""
