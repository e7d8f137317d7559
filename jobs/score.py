"""Score an input with a deployment; the options are those of `sparkscore run`.

spark-submit --packages io.delta:delta-spark_4.2_2.13:4.4.0 jobs/score.py DEPLOYMENT.yml --input … --output …
"""

from __future__ import annotations

import sys

from sparkscore.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["run"]
    main()
