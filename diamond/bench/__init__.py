"""How fast the parts of the program run on this machine, also beside the released code."""
