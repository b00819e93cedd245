"""How many units a bootstrap needs; it loads no numpy."""

MIN_BOOTSTRAP_UNITS = 10
"""Below this a resample often repeats a unit so often that its spread says little: no bootstrap
interval or band is given."""
