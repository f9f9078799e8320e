"""Timings of this code beside what people use today: `make bench`. Never a test."""
