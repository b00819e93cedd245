"""A world model of one small network, in a package of its own."""
