"""A family that does not load."""

raise RuntimeError("the toy is broken")
