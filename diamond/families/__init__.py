"""Kinds of world models: one folder each, behind one interface."""
