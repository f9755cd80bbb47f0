"""The report: `report.html`, one file with the findings of an audit."""
