"""Workers started by an engine for jobs that is there already; one module for each, `engine` is what they share."""
