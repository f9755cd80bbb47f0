"""Fixtures of the tests of audits in notebooks."""

from counted_audit import counted as counted
