"""The actor-critic: returns, losses, acting.

It takes imagination as a callable and knows no world model.
"""
