"""The stages of a run, one file each: what it reads, what makes it, and what it costs.

Nothing is loaded that makes one.
"""
