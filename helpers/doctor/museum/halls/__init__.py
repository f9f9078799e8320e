"""The museum's halls: mistakes in the model, in the optimizer, in the data; and what is right."""
