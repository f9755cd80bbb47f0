"""Image encoders: what a picture shows inside a mask, as a vector of numbers."""
