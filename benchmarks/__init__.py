"""How fast the parts of `diamond` run on this machine, also beside the released code."""
