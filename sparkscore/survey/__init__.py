"""Read input files before scoring, to infer column types and find text that Spark would misread.

Runs on the driver and the workers.
"""
