"""Tasks: classes and their pictures, read, checked, split and brought into batches."""
