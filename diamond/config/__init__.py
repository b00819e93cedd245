"""Typed configuration: records, presets, overrides by dotted name, content hashes; no torch, no numpy."""
