"""Define the options that decide whether a command starts Spark or uses a Spark Connect server. Runs on the driver."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError


@dataclass(frozen=True)
class SparkOptions:
    """The Spark options of a command.

    Attributes:
        master: the Spark master, or None for the default of `local_session`.
        spark_conf: the `key=value` pairs of `--spark-conf`.
        remote: the URL of a Spark Connect server. If None, the environment variable ``SPARK_REMOTE`` is
            used, if it is set.
    """

    master: str | None = None
    spark_conf: Sequence[str] = ()
    remote: str | None = None

    @property
    def server(self) -> str | None:
        """The URL of the Spark Connect server, or None if the command starts Spark itself.

        Raises:
            ConfigError: a server is given together with a master or with Spark properties, which apply only if the
                command starts Spark itself.
        """
        from sparkscore.spark.connect_session import REMOTE

        url = self.remote or os.environ.get(REMOTE) or None
        given = [*(["--master"] if self.master else []), *(["--spark-conf"] if self.spark_conf else [])]
        if url is not None and given:
            where = "--remote" if self.remote else f"the environment variable {REMOTE}"
            raise ConfigError(
                code=ErrorCode.CONNECT_OPTIONS,
                what=f"{where} names a Spark Connect server, which was started with its own master and settings",
                got=" and ".join(given),
                expected="one or the other",
                next_step=f"Leave out {' and '.join(given)}, or "
                + ("leave out --remote." if self.remote else f"unset {REMOTE}."),
            )
        return url
