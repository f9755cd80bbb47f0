"""The audit directory: audit.json, parts, rows by id, SQL, and reading it all back."""
