"""Promptable segmenters: protocol, implementations, embeddings, training."""
