"""The command line. Each command has a file; what is heavy is imported by the command that needs it, when it runs."""
