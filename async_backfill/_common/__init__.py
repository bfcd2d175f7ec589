"""What several rooms need: validation, atomic files, file formats, guarded calls of user code."""
