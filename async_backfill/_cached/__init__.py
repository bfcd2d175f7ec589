"""The decorator `cached`: a cache in front of a function or a method."""
