"""What the commands do that read a home or documents: list, show, judge, write again, serve."""
