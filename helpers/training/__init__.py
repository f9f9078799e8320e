"""Strategies as lists of phases, the one loop that runs them, and what it needs: features, scores, exact resume."""
