"""The review page: masks before people, one at a time or a screen at a time, and its server."""
