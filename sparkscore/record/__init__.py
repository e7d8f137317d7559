"""Write and read run records and the other files in run folders. Runs on the driver."""
