"""What an exported network is made of: files that work without this package."""
