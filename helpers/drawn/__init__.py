"""Pictures drawn from formulas: flowers (the near target), slides (the far target) and what the backbone learned from."""
