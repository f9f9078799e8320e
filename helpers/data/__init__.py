"""Tasks: classes and their images, read, checked, split and brought into batches."""
