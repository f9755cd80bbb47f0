"""Box detectors: protocol, implementation, and training on an audit's accepted masks."""
