"""Score several requests in one session of a new driver process: python drive_all.py REQUESTS.json.

Prints one line for each request: its run record, or the error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import sparkscore
from sparkscore.errors import SparkscoreError

if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    log = Path(sys.argv[1]).with_suffix(".log")
    spark = sparkscore.local_session(master=asked["master"], conf=asked["conf"], log_file=log)
    for options in asked["requests"]:
        try:
            answer = sparkscore.score(spark, options.pop("deployment"), **options).record
        except SparkscoreError as error:
            answer = {"state": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    spark.stop()
