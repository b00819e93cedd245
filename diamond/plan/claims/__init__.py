"""Claims of a declaration: their grammar, their linear form, the arms that they name."""
