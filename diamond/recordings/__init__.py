"""Recordings of the user's own: read, checked, aligned, kept in a home, and written out again."""
