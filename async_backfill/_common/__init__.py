"""Helpers of several rooms: validation, atomic files, file formats, guarded calls of user code."""
