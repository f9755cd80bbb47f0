"""The steps of an audit: inputs and their joins, scoring by parts, deciding."""
