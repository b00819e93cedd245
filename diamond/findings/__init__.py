"""Findings of a study: what reads the stage store and fills in the records of `diamond.results`."""
