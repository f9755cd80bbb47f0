"""The data engine: rounds of proposals, people's decisions on them, and training on both."""
