"""Stages at work.

The store on disk, the executor, and the study that ties plan, tracking and report together.
"""
