"""What a service says, as values: codecs in both directions, no input or output."""

__all__ = ["WireError"]


class WireError(ValueError):
    """A service said something that has not the shape it should have; carries a sentence for people."""
