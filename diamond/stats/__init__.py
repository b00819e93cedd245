"""Intervals, comparisons of two arms, power, aggregates."""
