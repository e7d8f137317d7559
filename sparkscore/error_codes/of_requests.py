"""What the codes of the request, the machine and the scoring script mean (driver)."""

from __future__ import annotations

from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.error_codes.explanation import Explanation, Section

SECTIONS: Final = (
    Section(
        "The request",
        "The deployment file, the options of a command and the names in them. Nothing has been started.",
        {
            ErrorCode.AZURE_ARGUMENT: Explanation(
                "The script's arguments hold an option of Azure's parallel jobs, such as `--error_threshold`.",
                "Take it out of the arguments and set the key that the message names.",
            ),
            ErrorCode.AZURE_EXPRESSION: Explanation(
                "A setting holds an expression such as `${{inputs.x}}`, which only Azure can resolve.",
                "Write the value there, or pass it with `--set KEY=VALUE`.",
            ),
            ErrorCode.AZURE_REFERENCE: Explanation(
                "A setting refers to something in an Azure workspace.",
                "Download it and pass its path with `--set KEY=PATH`.",
            ),
            ErrorCode.CARRY_COLUMNS: Explanation(
                "`output.carry` names columns that the input does not have.",
                "Correct `output.carry`; upper and lower case count.",
            ),
            ErrorCode.COLUMNS_UNKNOWN: Explanation(
                "`columns` renames columns that the result does not have.",
                "Correct `columns`, or carry the columns with `output.carry`.",
            ),
            ErrorCode.COLUMN_CLASH: Explanation(
                "Two columns of the result would have one name.",
                "Rename one with `columns`, or leave it out with `output.carry`.",
            ),
            ErrorCode.CONFIG_FILE: Explanation(
                "The deployment file cannot be read.",
                "Correct the path, or the permissions of the file.",
            ),
            ErrorCode.CONFIG_KIND: Explanation(
                "The file is another kind of file than a batch deployment of a model.",
                "Write a deployment; `sparkscore new DIR` makes an example.",
            ),
            ErrorCode.CONFIG_SET: Explanation(
                "An option `--set` is not `KEY=VALUE`, or its key or value cannot be used.",
                "Correct the option.",
            ),
            ErrorCode.CONFIG_UNKNOWN_KEY: Explanation(
                "The deployment has a key that no deployment has.",
                "Correct or remove the key; `sparkscore schema` lists all keys.",
            ),
            ErrorCode.CONFIG_VALUE: Explanation(
                "A key has a value that it cannot have, is missing, or is given twice.",
                "Correct the value; `docs/deployment.md` has the values of each key.",
            ),
            ErrorCode.CONFIG_YAML: Explanation(
                "The deployment file is not valid YAML, or holds YAML that has several readings.",
                "Correct the line that the message names.",
            ),
            ErrorCode.LOCATION_REMOTE: Explanation(
                "A location names a store that sparkscore cannot read by itself, such as `s3://`.",
                "Mount the store and name the mounted folder.",
            ),
            ErrorCode.MINI_BATCH_SIZE: Explanation(
                "`settings.mini_batch_size` is in a unit that does not fit the input.",
                "Set it as the message says: a number of files or rows, or bytes such as `1MB`.",
            ),
            ErrorCode.NAME_COLON: Explanation(
                "A folder has a sign in its path that Spark reads as something else.",
                "Name another folder.",
            ),
            ErrorCode.NAME_ENCODING: Explanation(
                "The JVM of Spark cannot open a path that has letters beyond ASCII.",
                "Set `LC_ALL=C.UTF-8` where Spark is started, and run again.",
            ),
            ErrorCode.NEW_FOLDER: Explanation(
                "`sparkscore new` cannot write its example into the folder.",
                "Name a folder that is new or empty.",
            ),
            ErrorCode.NOTHING_SCORES: Explanation(
                "The run has neither a model nor a scoring script.",
                "Name a model with `--model`, or give a deployment file.",
            ),
            ErrorCode.NOT_SUPPORTED_YET: Explanation(
                "A setting asks for something that this version cannot do.",
                "Do what the message says, or remove the key.",
            ),
            ErrorCode.PARTITION_COLUMNS: Explanation(
                "`output.partition_by` names columns that cannot be partition columns of the result.",
                "Correct `--partition-by` or `output.partition_by`.",
            ),
            ErrorCode.SECRET_IN_PLACE: Explanation(
                "A location in a setting holds a secret, and the run record would keep it.",
                "Give the secret to Spark in its `spark-defaults.conf`.",
            ),
            ErrorCode.SECRET_ON_COMMAND_LINE: Explanation(
                "A setting would put a secret on the command line of Java, which every user of the machine can read.",
                "Give it as a Spark setting, or in the variable `JDK_JAVA_OPTIONS`.",
            ),
            ErrorCode.USAGE: Explanation(
                "The command line has an unknown option, or an argument is missing.",
                "See `sparkscore COMMAND --help`.",
            ),
            ErrorCode.WORKING_DIRECTORY: Explanation(
                "The working directory, or the one in which a run was asked for, is gone.",
                "Change to a folder that is there, and ask again.",
            ),
        },
    ),
    Section(
        "The machine",
        "Java, Spark, Python and their packages, on the driver or on a worker.",
        {
            ErrorCode.CONNECT_SESSION: Explanation(
                "The process uses Spark Connect, which this version does not support.",
                "Unset `SPARK_REMOTE` and `SPARK_CONNECT_MODE_ENABLED` and start a new Python process.",
            ),
            ErrorCode.DELTA_JAR: Explanation(
                "The jar of Delta is not there and cannot be downloaded.",
                "Run `sparkscore doctor` with a network once, or start the session with the jar.",
            ),
            ErrorCode.DELTA_MISSING: Explanation(
                "The package `delta-spark` is not installed.",
                "Run `pip install 'sparkscore[local]'`.",
            ),
            ErrorCode.DEMO_CHECKOUT: Explanation(
                "The files of the demo are not there.",
                "Run the demo in a checkout of sparkscore.",
            ),
            ErrorCode.DEMO_FOLDER: Explanation(
                "The folder of the demo holds files that the demo did not write.",
                "Move it away, or name another `--folder`.",
            ),
            ErrorCode.DEMO_PACKAGES: Explanation(
                "The demo needs packages that are not installed.",
                "Run `pip install 'sparkscore[demo]'`.",
            ),
            ErrorCode.ENVIRONMENT_INSTALL: Explanation(
                "`sparkscore env build` cannot install the requirements.",
                "Correct the requirements; pip has said what is wrong.",
            ),
            ErrorCode.ENVIRONMENT_MISMATCH: Explanation(
                "The packages of the workers are not those that the model or the deployment asks for.",
                "Install them on the workers, use `sparkscore env build`, or set `python.check: warn`.",
            ),
            ErrorCode.ENVIRONMENT_PYTHON: Explanation(
                "The environment asks for another version of Python than the one that builds it.",
                "Run `sparkscore env build` with the Python version of the workers.",
            ),
            ErrorCode.JAVA_FAILED: Explanation(
                "Java is there and does not start.",
                "Raise the limit of memory where that is the cause; the message has Java's own text.",
            ),
            ErrorCode.JAVA_MISSING: Explanation(
                "Spark needs Java, and there is none.",
                "Install Java 17, or set `JAVA_HOME`.",
            ),
            ErrorCode.JAVA_VERSION: Explanation(
                "Java is older than Spark needs.",
                "Install Java 17 or later, or set `JAVA_HOME` to it.",
            ),
            ErrorCode.MISSING_PACKAGE: Explanation(
                "A package that this model or input needs is not installed.",
                "Install it where the message says: on the driver or on the workers.",
            ),
            ErrorCode.PYSPARK_MISSING: Explanation(
                "The package `pyspark` is not installed.",
                "Run `pip install 'sparkscore[local]'`; on a cluster, use its Python.",
            ),
            ErrorCode.PYTHON_ARCHIVE: Explanation(
                "`python.archive` is missing, or is no environment that the worker can use.",
                "Build it with `sparkscore env build` and the Python version of the workers.",
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
                "There are no requirements to check or to build an environment from.",
                "Name a requirements file in `python.requirements`.",
            ),
            ErrorCode.REQUIREMENTS_UNREADABLE: Explanation(
                "The file of requirements cannot be read.",
                "Correct the path that the message names.",
            ),
            ErrorCode.SESSION_SETTING: Explanation(
                "A setting of the Spark session would change the result, and cannot be changed in this session.",
                "Start the session with the line that the message gives.",
            ),
            ErrorCode.SPARK_CONF: Explanation(
                "An option `--spark-conf` is not `KEY=VALUE`.",
                "Correct the option.",
            ),
            ErrorCode.SPARK_START: Explanation(
                "Spark did not start.",
                "Follow the step in the message; the log has Spark's own text.",
            ),
            ErrorCode.SPARK_VERSION: Explanation(
                "This version of Spark does not work with sparkscore.",
                "Install a version that the message lists.",
            ),
            ErrorCode.USER_WITHOUT_NAME: Explanation(
                "The user id has no name on this machine, and Spark asks for one.",
                "Add a line to `/etc/passwd` in the image, or run as another user.",
            ),
            ErrorCode.VENV_MISSING: Explanation(
                "This Python cannot make virtual environments.",
                "Install its module `venv`.",
            ),
            ErrorCode.WORKERS: Explanation(
                "`sparkscore doctor` got no answer from a worker.",
                "Install sparkscore and its packages for the Python of the workers.",
            ),
        },
    ),
    Section(
        "The scoring script",
        "",
        {
            ErrorCode.CODE_TOO_LARGE: Explanation(
                "The folder of the scoring script is too large to be copied to every worker.",
                "Put the script into a folder of its own and name it in `code_configuration.code`.",
            ),
            ErrorCode.SCRIPT_FOLDER: Explanation(
                "The working directory of the scoring script is gone.",
                "Let the script keep the folder that it runs in.",
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
                "Give the file another name, such as `score.py`.",
            ),
            ErrorCode.SCRIPT_NOT_FOUND: Explanation(
                "The scoring script is not there, or cannot be read.",
                "Correct `code_configuration`, or the permissions.",
            ),
            ErrorCode.SCRIPT_NO_RUN: Explanation(
                "The scoring script has no function `run`.",
                "Define `run(mini_batch)` at the top level of the script.",
            ),
            ErrorCode.SCRIPT_ONLINE: Explanation(
                "The scoring script is written for an online endpoint.",
                "Write `run(mini_batch)` so that it returns one element per item.",
            ),
            ErrorCode.SCRIPT_PARAMETERS: Explanation(
                "`run` cannot be called with a mini-batch alone.",
                "Write `run(mini_batch)`; other parameters need a default.",
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
