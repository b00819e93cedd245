"""Figures of a report, their common style, and how they stand in the page."""
