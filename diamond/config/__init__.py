"""Typed configuration: records, presets, overrides by dotted name, content hashes.

No torch, no numpy.
"""
