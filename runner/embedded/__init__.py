"""An Assistant API of our own: the same protocol, a database behind it, and a model that follows a script."""
