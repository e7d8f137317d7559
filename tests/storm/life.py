"""Run a driver until its run ends or it is killed: python -m tests.storm.life OPTIONS.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import sparkscore

MASTER = "local-cluster[2,1,1024]"
CONF = {
    "spark.deploy.maxExecutorRetries": "-1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.task.maxFailures": "100",
    "spark.ui.enabled": "false",
}


def main(options_file: Path) -> None:
    told = json.loads(options_file.read_text())
    conf, options = CONF | told["conf"], told["run"]
    spark = sparkscore.local_session(master=MASTER, conf=conf, log_file=options_file.with_name("spark.log"))
    run = sparkscore.score(spark, options.pop("deployment"), **options)
    sys.stdout.write(json.dumps(run.record) + "\n")
    sys.stdout.flush()
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
