"""Explain the error codes about requests, scoring scripts, and the installed Java, Spark and Python.

Runs on the driver.
"""

from __future__ import annotations

from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.error_codes.explanation import Explanation, Section

SECTIONS: Final = (
    Section(
        "The request",
        "The deployment file and the options of a command. Nothing was started.",
        {
            ErrorCode.AZURE_ARGUMENT: Explanation(
                "The script's arguments contain an option of Azure's parallel jobs, such as `--error_threshold`.",
                "Remove it from the arguments, and set the key that the message names.",
            ),
            ErrorCode.AZURE_EXPRESSION: Explanation(
                "A setting contains an expression such as `${{inputs.x}}`, which only Azure can resolve.",
                "Write the value itself, or pass it with `--set KEY=VALUE`.",
            ),
            ErrorCode.AZURE_REFERENCE: Explanation(
                "A setting refers to an asset in an Azure workspace.",
                "Download the asset, and pass its path with `--set KEY=PATH`.",
            ),
            ErrorCode.CARRY_COLUMNS: Explanation(
                "`output.carry` names columns that the input does not have.",
                "Correct `output.carry`; names are case-sensitive.",
            ),
            ErrorCode.COLUMNS_UNKNOWN: Explanation(
                "`columns` renames columns that the result does not have.",
                "Correct `columns`, or carry the columns with `output.carry`.",
            ),
            ErrorCode.COLUMN_CLASH: Explanation(
                "Two columns of the result have the same name.",
                "Rename one with `columns`, or leave it out with `output.carry`.",
            ),
            ErrorCode.CONFIG_FILE: Explanation(
                "The deployment file cannot be read.",
                "Correct the path, or the permissions of the file.",
            ),
            ErrorCode.CONFIG_KIND: Explanation(
                "The file is not a batch deployment of a model, but another YAML file of Azure.",
                "Write a deployment; `sparkscore new DIR` creates an example.",
            ),
            ErrorCode.CONFIG_SET: Explanation(
                "A `--set` option is not `KEY=VALUE`, or its key or value is not valid.",
                "Correct the option.",
            ),
            ErrorCode.CONFIG_UNKNOWN_KEY: Explanation(
                "The deployment has an unknown key.",
                "Correct or remove the key; `sparkscore schema` lists all keys.",
            ),
            ErrorCode.CONFIG_VALUE: Explanation(
                "A key has a value that is not allowed, is missing, or is given twice.",
                "Correct the value; `docs/deployment.md` lists the values of each key.",
            ),
            ErrorCode.CONFIG_YAML: Explanation(
                "The deployment file is not valid YAML, or uses YAML features that sparkscore does not accept, such as "
                "anchors.",
                "Correct the line that the message names.",
            ),
            ErrorCode.LOCATION_REMOTE: Explanation(
                "A location is in a store that sparkscore cannot read, or whose settings are not certain.",
                "Mount the store, and use the path of the mounted folder. For `s3a://`, see `docs/inputs.md`.",
            ),
            ErrorCode.MINI_BATCH_SIZE: Explanation(
                "The unit of `settings.mini_batch_size` does not match the input.",
                "Set it as the message says: a number of files or rows, or bytes such as `1MB`.",
            ),
            ErrorCode.NAME_COLON: Explanation(
                "The path of a folder has a character that Spark interprets differently.",
                "Use another folder.",
            ),
            ErrorCode.NAME_ENCODING: Explanation(
                "Spark's JVM cannot open a path with non-ASCII characters.",
                "Set `LC_ALL=C.UTF-8` where Spark is started, and run again.",
            ),
            ErrorCode.NEW_FOLDER: Explanation(
                "`sparkscore new` cannot write its example into the folder.",
                "Use a new or empty folder.",
            ),
            ErrorCode.NOTHING_SCORES: Explanation(
                "The run has neither a model nor a scoring script.",
                "Set a model with `--model`, or pass a deployment file.",
            ),
            ErrorCode.NOT_SUPPORTED_YET: Explanation(
                "A setting needs a feature that this version does not have.",
                "Follow the advice in the message, or remove the key.",
            ),
            ErrorCode.PARTITION_COLUMNS: Explanation(
                "`output.partition_by` names columns that cannot be partition columns of the result.",
                "Correct `--partition-by` or `output.partition_by`.",
            ),
            ErrorCode.SECRET_IN_PLACE: Explanation(
                "The URI of a location contains a secret, and the run record would store it.",
                "Set the secret in Spark's `spark-defaults.conf`.",
            ),
            ErrorCode.SECRET_ON_COMMAND_LINE: Explanation(
                "A setting would put a secret on Java's command line, which every user of the machine can read.",
                "Set it as a Spark setting, or in the environment variable `JDK_JAVA_OPTIONS`.",
            ),
            ErrorCode.USAGE: Explanation(
                "The command line has an unknown option, or an argument is missing.",
                "See `sparkscore COMMAND --help`.",
            ),
            ErrorCode.WORKING_DIRECTORY: Explanation(
                "The working directory of the process, or that of the original request, no longer exists.",
                "Change to an existing folder, and run again.",
            ),
        },
    ),
    Section(
        "The machine",
        "Java, Spark, Python and their packages, on the driver or on a worker.",
        {
            ErrorCode.CLASS_ARCHIVE: Explanation(
                "`sparkscore env classes` cannot archive Spark's classes.",
                "Do what the message says, or go on without an archive; runs do not need one.",
            ),
            ErrorCode.CONNECT_OPTIONS: Explanation(
                "A command has options for a Spark that it starts itself, but is to use a Spark Connect server.",
                "Leave out `--master` and `--spark-conf`, or leave out `--remote` and unset `SPARK_REMOTE`.",
            ),
            ErrorCode.CONNECT_PACKAGES: Explanation(
                "Packages that PySpark needs for Spark Connect are not installed.",
                "Run `pip install 'sparkscore[connect]'`.",
            ),
            ErrorCode.CONNECT_SERVER_LOST: Explanation(
                "The Spark Connect server is not there, has ended, or was started again. What was scored is kept.",
                "Start the server again, and resume the run with a new session.",
            ),
            ErrorCode.CONNECT_SESSION: Explanation(
                "The process uses Spark Connect, so it cannot start a local session.",
                "Pass the Spark Connect session to `score`; or unset `SPARK_REMOTE` and `SPARK_CONNECT_MODE_ENABLED` "
                "and start a new Python process.",
            ),
            ErrorCode.CONNECT_TOKEN: Explanation(
                "The Spark Connect server refuses the token.",
                "Set `SPARK_CONNECT_AUTHENTICATE_TOKEN` to the server's token, and start a new Python process.",
            ),
            ErrorCode.CONNECT_URL: Explanation(
                "The URL of the Spark Connect server is not valid, or its token would need TLS that the server lacks.",
                "Correct the URL as the message says; with a token and without TLS, the host must be `localhost`.",
            ),
            ErrorCode.DELTA_JAR: Explanation(
                "Delta's jar is missing and cannot be downloaded.",
                "Run `sparkscore doctor` once with a network, or start the session with the jar.",
            ),
            ErrorCode.DELTA_MISSING: Explanation(
                "The package `delta-spark` is not installed.",
                "Run `pip install 'sparkscore[local]'`.",
            ),
            ErrorCode.DELTA_SESSION: Explanation(
                "Spark must read or write a Delta table, and the Spark session has no Delta.",
                "Use another format, or a session with Delta; Spark 4.3 has none yet.",
            ),
            ErrorCode.DEMO_CHECKOUT: Explanation(
                "The files of the demo are missing.",
                "Run the demo in a checkout of sparkscore.",
            ),
            ErrorCode.DEMO_FOLDER: Explanation(
                "The folder of the demo has files that the demo did not write.",
                "Move them away, or use another `--folder`.",
            ),
            ErrorCode.DEMO_PACKAGES: Explanation(
                "The demo needs packages that are not installed.",
                "Run `pip install 'sparkscore[demo]'`.",
            ),
            ErrorCode.ENVIRONMENT_INSTALL: Explanation(
                "`sparkscore env build` cannot install the requirements.",
                "Correct the requirements; pip's message has the reason.",
            ),
            ErrorCode.ENVIRONMENT_MISMATCH: Explanation(
                "The packages of the workers do not match those of the model or the deployment.",
                "Install them on the workers, use `sparkscore env build`, or set `python.check: warn`.",
            ),
            ErrorCode.ENVIRONMENT_PYTHON: Explanation(
                "The environment needs another version of Python than the one that builds it.",
                "Run `sparkscore env build` with the Python version of the workers.",
            ),
            ErrorCode.JAVA_FAILED: Explanation(
                "Java is installed but does not start.",
                "Raise the memory limit if that is the cause; the message has Java's own text.",
            ),
            ErrorCode.JAVA_MISSING: Explanation(
                "Spark needs Java, which is not installed.",
                "Install Java 17, or set `JAVA_HOME`.",
            ),
            ErrorCode.JAVA_VERSION: Explanation(
                "Java is too old for Spark.",
                "Install Java 17 or later, or set `JAVA_HOME` to it.",
            ),
            ErrorCode.MISSING_PACKAGE: Explanation(
                "A package that this model or input needs is not installed.",
                "Install it on the driver or on the workers, as the message says.",
            ),
            ErrorCode.NOT_SENT: Explanation(
                "sparkscore, a model or a code folder cannot be sent to the workers.",
                "Free space in the driver's `TMPDIR`, or set `TMPDIR` to a folder with more space.",
            ),
            ErrorCode.PACKAGE_MISSING: Explanation(
                "The Python of a worker lacks sparkscore or one of its packages, or has another sparkscore than the "
                "driver.",
                "Install the package for that Python, as the message says, or set `PYSPARK_PYTHON` to a Python that "
                "has it.",
            ),
            ErrorCode.PYSPARK_MISSING: Explanation(
                "The package `pyspark` is not installed.",
                "Run `pip install 'sparkscore[local]'`, or `'sparkscore[connect]'` for a Spark Connect server; on a "
                "cluster, use its Python.",
            ),
            ErrorCode.PYTHON_ARCHIVE: Explanation(
                "`python.archive` is missing, cannot be unpacked, or is not an environment that the worker can use.",
                "Build it with `sparkscore env build` and the workers' version of Python, and make room for it.",
            ),
            ErrorCode.PYTHON_NOT_FOUND: Explanation(
                "The interpreter of `python.path` or `python.archive` does not start on a worker.",
                "Correct `python.path`; it is a path on the workers.",
            ),
            ErrorCode.PYTHON_PACKAGES: Explanation(
                "The interpreter of `python.path` or `python.archive` lacks packages that sparkscore needs.",
                "Install pyarrow, pandas, numpy and packaging there.",
            ),
            ErrorCode.PYTHON_VERSION: Explanation(
                "The interpreter of `python.path` or `python.archive` is too old.",
                "Install the version that the message names on the workers.",
            ),
            ErrorCode.REQUIREMENTS_MISSING: Explanation(
                "There are no requirements to check, or to build an environment from.",
                "Set a requirements file in `python.requirements`.",
            ),
            ErrorCode.REQUIREMENTS_UNREADABLE: Explanation(
                "The requirements file cannot be read.",
                "Correct the path that the message names.",
            ),
            ErrorCode.SESSION_SETTING: Explanation(
                "A setting of the Spark session would change the result, and the session does not allow to change it.",
                "Start the session with the setting that the message names.",
            ),
            ErrorCode.SPARK_CONF: Explanation(
                "A `--spark-conf` option is not `KEY=VALUE`.",
                "Correct the option.",
            ),
            ErrorCode.SPARK_START: Explanation(
                "Spark did not start.",
                "Follow the advice in the message; the log has Spark's own text.",
            ),
            ErrorCode.SPARK_VERSION: Explanation(
                "This version of Spark is not supported.",
                "Install one of the versions in the message.",
            ),
            ErrorCode.USER_WITHOUT_NAME: Explanation(
                "The user id has no name on this machine, which Spark needs.",
                "Add a line to `/etc/passwd` in the image, or run as another user.",
            ),
            ErrorCode.VENV_MISSING: Explanation(
                "This Python cannot create virtual environments.",
                "Install the module `venv` for it.",
            ),
            ErrorCode.WORKERS: Explanation(
                "`sparkscore doctor` got no answer from a worker.",
                "Install sparkscore and its dependencies in the workers' Python.",
            ),
            ErrorCode.WORKER_PYTHON: Explanation(
                "Spark cannot start its Python on a worker, or that Python has another version than the driver's.",
                "Set `PYSPARK_PYTHON` to a Python of the driver's version that the user of the workers can execute.",
            ),
        },
    ),
    Section(
        "The scoring script",
        "",
        {
            ErrorCode.CODE_TOO_LARGE: Explanation(
                "The folder of the scoring script is too large to be copied to each worker.",
                "Move the script to a separate folder, and set that folder in `code_configuration.code`.",
            ),
            ErrorCode.SCRIPT_FOLDER: Explanation(
                "The working directory of the scoring script no longer exists.",
                "Do not remove the folder in which the script runs.",
            ),
            ErrorCode.SCRIPT_IMPORT: Explanation(
                "The scoring script raised an exception while it was imported.",
                "Correct the script; the whole traceback is in the log.",
            ),
            ErrorCode.SCRIPT_INIT: Explanation(
                "`init()` of the scoring script raised an exception.",
                "Correct the script; the whole traceback is in the log.",
            ),
            ErrorCode.SCRIPT_NAME: Explanation(
                "The scoring script, or a file that it imports, has the name of a module that is already loaded.",
                "Rename the file, for example to `score.py`.",
            ),
            ErrorCode.SCRIPT_NOT_FOUND: Explanation(
                "The scoring script does not exist, or cannot be read.",
                "Correct `code_configuration`, or the permissions.",
            ),
            ErrorCode.SCRIPT_NO_RUN: Explanation(
                "The scoring script has no function `run`.",
                "Define `run(mini_batch)` at the top level of the script.",
            ),
            ErrorCode.SCRIPT_ONLINE: Explanation(
                "The scoring script is written for an online endpoint.",
                "Write `run(mini_batch)` so that it returns one element for each item.",
            ),
            ErrorCode.SCRIPT_PARAMETERS: Explanation(
                "`run` cannot be called with only a mini-batch.",
                "Define `run(mini_batch)`; other parameters need a default.",
            ),
            ErrorCode.SCRIPT_RUN: Explanation(
                "`run()` of the scoring script raised an exception.",
                "Correct the script or the rows; the log and the quarantine have the traceback.",
            ),
            ErrorCode.SCRIPT_SYNTAX: Explanation(
                "The scoring script is not valid Python.",
                "Correct the line that the message names.",
            ),
        },
    ),
)
