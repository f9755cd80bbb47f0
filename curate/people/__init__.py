"""People: reviews, queues, guarantees, learning, exchange with other tools, the review page."""
