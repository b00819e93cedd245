"""Stages at work: the store on disk, the executor, and the study that ties plan, tracking and report together."""
