"""FiftyOne's dataset folder."""
