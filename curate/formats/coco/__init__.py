"""COCO instances, LVIS, results lists and panoptic, and their annotation objects."""
