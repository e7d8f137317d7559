"""The child process that scores, and the worker's code that starts and ends it (worker and child)."""
