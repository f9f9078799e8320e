"""Runs on disk: checkpoints, exact resume, interrupts, number formats."""
