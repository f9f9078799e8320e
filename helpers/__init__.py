"""Helpers of the transfer-learning course: tasks, backbones, strategies, training."""
