"""The review page and its server: masks one at a time, or a grid of them."""
