"""Audits as notebooks show them: rows by conditions, pictures of masks, plots."""
