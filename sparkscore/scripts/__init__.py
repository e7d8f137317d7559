"""Check and pack scoring scripts on the driver, and prepare the processes that run them on the workers."""
