"""What the lessons use to measure, claim, draw, explain and examine."""
