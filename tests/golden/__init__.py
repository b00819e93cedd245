"""Values that were produced by running other programs, and the scripts that produced them."""
