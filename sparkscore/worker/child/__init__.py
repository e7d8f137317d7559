"""The child process that scores, and how a worker supervises it (worker and child)."""
