"""What to do about the numbers: policies, plans, queues, pruning, comparisons and gates."""
