"""Weights on disk: read without running code, official ones fetched and verified, checkpoints."""
