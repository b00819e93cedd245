"""The answer of a study in words."""
