"""One read of a stream, in one question or window by window."""
