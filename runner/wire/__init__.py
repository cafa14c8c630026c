"""What a service says, as values: codecs in both directions, no input or output."""
