"""Networks: segmenters that answer prompts, detectors that see boxes, and how both are trained.

Only this room knows torch, transformers and onnxruntime, and it imports them when they are first
needed: the core install has none of them.
"""
