"""The options of each command, as records; what a command does is loaded when it is called."""
