"""The model, as plain modules: from images to visual tokens to text. Nothing here imports LAVIS or reads a file."""
