"""Pretrained networks: loaded from verified weights, taken apart into stages, given new heads, saved."""
