"""What targets share: reading the wire in blocks, typed decoding, the exact path, the commit loop."""
