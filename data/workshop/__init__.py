"""How the embedded backbone is made and measured."""
