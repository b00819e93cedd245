"""World models behind one interface, and rolling them forward."""
