"""Weights of networks: files of a stage, checkpoint folders, agents of the released code."""
