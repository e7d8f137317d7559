"""Run the child process that scores, and start and end that process from the worker (worker and child)."""
