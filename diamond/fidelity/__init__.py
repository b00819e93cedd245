"""How faithful imagined frames are: metrics as pure functions."""
