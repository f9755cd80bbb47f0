"""Annotations of labelme and X-AnyLabeling: one JSON an image, beside its picture."""
