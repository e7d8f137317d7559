"""Start and stop the child process, and score in it (worker and child)."""
