"""Score in a new driver process, which a test can kill: python drive.py OPTIONS.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import sparkscore

if __name__ == "__main__":
    options = json.loads(Path(sys.argv[1]).read_text())
    master, conf = options.pop("master", "local[2,4]"), options.pop("conf", {})
    spark = sparkscore.local_session(master=master, conf=conf, log_file=Path(sys.argv[1]).with_suffix(".log"))
    run = sparkscore.score(spark, options.pop("deployment"), **options)
    sys.stdout.write(json.dumps(run.record))
    spark.stop()
