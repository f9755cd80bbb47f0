"""Policies: grammar, rules, reasons, and the plan that they make of scores."""
