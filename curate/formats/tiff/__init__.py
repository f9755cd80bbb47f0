"""TIFFs of one band: ids of instances in pixels, or one mask a file."""
