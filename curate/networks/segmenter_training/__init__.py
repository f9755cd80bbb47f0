"""Training of segmenters on annotated datasets and audits."""
