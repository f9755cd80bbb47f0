"""Training of mask verifiers on a dataset's own masks, without labels."""
