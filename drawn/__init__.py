"""Images drawn from formulas: flowers (the near target), slides (the far one), and the backbone's source."""
