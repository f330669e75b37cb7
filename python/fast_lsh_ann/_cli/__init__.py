"""The command line, a file a command; what commands share is in options and output."""
