"""Projects of Supervisely: one JSON an image, in ``ann`` beside ``img``."""
