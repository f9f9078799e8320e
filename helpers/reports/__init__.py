"""What a run reports when it is over: figures of each class, pictures, one page."""
