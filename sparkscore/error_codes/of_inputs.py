"""Explanations of the error codes for inputs and scoring. Runs on the driver."""

from __future__ import annotations

from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.error_codes.explanation import Explanation, Section

SECTIONS: Final = (
    Section(
        "The input",
        "",
        {
            ErrorCode.FILE_SPLIT: Explanation(
                "A file is so large that Spark would split it, although one call needs all of it.",
                "Make the file smaller, or set `settings.mini_batch_size` in bytes.",
            ),
            ErrorCode.INPUT_CHANGED: Explanation(
                "The input changed while the run read it.",
                "Run again when the input is complete.",
            ),
            ErrorCode.INPUT_CODEC: Explanation(
                "A Parquet file is compressed with a codec that its reader lacks. Only the workers read Brotli.",
                "Write it with snappy, zstd, gzip or lz4, or without compression. For Brotli, see `input.reader`.",
            ),
            ErrorCode.INPUT_COLUMNS: Explanation(
                "The input does not have the columns that the deployment asks for.",
                "Correct `input.schema` or `input.columns`; names are case-sensitive.",
            ),
            ErrorCode.INPUT_COLUMN_NAMES: Explanation(
                "Two columns have names that Spark cannot tell apart, or a name cannot be used.",
                "Rename the columns in the input.",
            ),
            ErrorCode.INPUT_DELTA: Explanation(
                "There are several locations, but a Delta input is one table.",
                "Score each table in a separate run.",
            ),
            ErrorCode.INPUT_EMPTY: Explanation(
                "The input has nothing to score.",
                "Check `--input` and `input.format`.",
            ),
            ErrorCode.INPUT_ENCODING: Explanation(
                "A text file has bytes that are not valid in the encoding with which it is read.",
                "Convert the file to UTF-8, or set `input.options.encoding`.",
            ),
            ErrorCode.INPUT_ENDINGS: Explanation(
                "The folder has files of other types among the files to score.",
                "Exclude them with a glob, or set `input.format`.",
            ),
            ErrorCode.INPUT_HEADERS: Explanation(
                "CSV files have different headers.",
                "Give the files the same header, or score them in separate runs.",
            ),
            ErrorCode.INPUT_INEXACT: Explanation(
                "A column that is passed on as `float64` has an integer beyond 2^53, which `float64` cannot hold "
                "exactly.",
                "Fill the NULLs, or set `input.dtypes: arrow`.",
            ),
            ErrorCode.INPUT_IS_DELTA: Explanation(
                "The folder is a Delta table, but the input format is another one.",
                "Read it with `--input-format delta`.",
            ),
            ErrorCode.INPUT_LINE_ENDS: Explanation(
                "A CSV file mixes line ends so that Spark would join rows, or a value contains a line end that would "
                "be changed.",
                "Write the file with one type of line end, or set the option that the message names.",
            ),
            ErrorCode.INPUT_MISSING: Explanation(
                "The run has no input.",
                "Set it with `--input` or `input.location`.",
            ),
            ErrorCode.INPUT_NAME: Explanation(
                "Spark cannot read a file with this name.",
                "Rename the file.",
            ),
            ErrorCode.INPUT_NOT_FOUND: Explanation(
                "The input does not exist at the given location.",
                "Correct `--input`, or set its format with `--input-format`.",
            ),
            ErrorCode.INPUT_NOT_SEEN: Explanation(
                "A worker does not see a file of the input that the driver sees, or cannot read it.",
                "Mount its folder on that host at the same path, or let the user of the workers read it.",
            ),
            ErrorCode.INPUT_NULL: Explanation(
                "A column that must not have NULLs has one.",
                "Declare the column without NOT NULL, or correct the file.",
            ),
            ErrorCode.INPUT_NULLS: Explanation(
                "`input.nulls` and `input.dtypes` contradict each other.",
                "Remove one of the two lines.",
            ),
            ErrorCode.INPUT_OPEN_QUOTE: Explanation(
                "A quote in a CSV file is never closed.",
                "Close it, or set `input.options.quote`.",
            ),
            ErrorCode.INPUT_OPTIONS: Explanation(
                "An option under `input.options` is misspelled, or would change values or skip files.",
                "Correct it, or follow the advice in the message.",
            ),
            ErrorCode.INPUT_OUTPUT_OVERLAP: Explanation(
                "The input and the output are inside each other.",
                "Use another `--output`.",
            ),
            ErrorCode.INPUT_OWN_FILES: Explanation(
                "The input is a file that sparkscore wrote, such as a run record.",
                "Set the files to score.",
            ),
            ErrorCode.INPUT_PACKED: Explanation(
                "A file is compressed in a format that Spark cannot read, or its name has the extension of another "
                "format.",
                "Decompress the file.",
            ),
            ErrorCode.INPUT_PARTITIONS: Explanation(
                "The folders `key=value` above the files cannot become columns.",
                "Score the parts in separate runs, or name the files with a glob.",
            ),
            ErrorCode.INPUT_QUOTES: Explanation(
                "Quotes in a CSV file do not follow the rules with which it is read.",
                "Set `input.options.escape` or `input.options.quote` as the message says.",
            ),
            ErrorCode.INPUT_RECORD: Explanation(
                "A JSON file has a record that Spark would read only in part, or not at all.",
                "Correct the line that the message names.",
            ),
            ErrorCode.INPUT_SCHEMA: Explanation(
                "`input.schema` is not a valid list of columns, or declares a type that the input's format does not "
                "support.",
                "Write names and Spark types, for example `id bigint, day date`.",
            ),
            ErrorCode.INPUT_TIME_ZONE: Explanation(
                "A Delta table is partitioned by timestamps whose time zone is unknown.",
                "Start the session with the time zone that the message names, or set `input.options.timeZone`.",
            ),
            ErrorCode.INPUT_TYPES: Explanation(
                "A column has several types, or a type that cannot be kept exactly by the reader of the input.",
                "Declare it in `input.schema`, exclude it with `input.columns`, or cast it before scoring.",
            ),
            ErrorCode.INPUT_READER: Explanation(
                "The workers cannot read this input themselves exactly as Spark does.",
                "Set `input.reader: auto`, so that Spark reads it.",
            ),
            ErrorCode.INPUT_UNREADABLE: Explanation(
                "The input cannot be read: a damaged file, a row with too many or too few values, or missing "
                "permissions.",
                "Repair or remove the file that the message names; Spark's whole message is in the log.",
            ),
            ErrorCode.INPUT_VALUE: Explanation(
                "A value does not fit the declared type of its column.",
                "Declare a type that can hold it, or correct the file.",
            ),
            ErrorCode.INPUT_VERSION: Explanation(
                "The Delta table does not have the version in `input.version`.",
                "Correct `input.version`.",
            ),
            ErrorCode.TABLE_UNREADABLE: Explanation(
                "A table, or its history, cannot be read.",
                "Correct the cause and run the same run id again.",
            ),
        },
    ),
    Section(
        "Scoring",
        "Failures of items and of the processes that score them. These codes are also in the quarantine.",
        {
            ErrorCode.ERROR_THRESHOLD: Explanation(
                "More items or mini-batches failed than the deployment tolerates.",
                "Correct the input or the model, or raise the tolerance; the log has each failure.",
            ),
            ErrorCode.ITEMS_LOST: Explanation(
                "The counts of the workers do not match the plan.",
                "Run again; if it happens again, please report it.",
            ),
            ErrorCode.LOAD_PROCESS_ENDED: Explanation(
                "The process that scores ended while it loaded the model.",
                "Give it more memory; the log shows what it was doing.",
            ),
            ErrorCode.LOAD_TIMEOUT: Explanation(
                "The model was not loaded in time.",
                "Load less in `init()`, or raise `settings.retry_settings.timeout`, from which the limit for loading "
                "is computed.",
            ),
            ErrorCode.MINI_BATCH_TIMEOUT: Explanation(
                "A call took longer than its timeout.",
                "Raise `settings.retry_settings.timeout`, or make mini-batches smaller.",
            ),
            ErrorCode.OUTPUT_ALL_NULL: Explanation(
                "The type of a column is unknown, because all its first values are NULL.",
                "Declare `output.schema`.",
            ),
            ErrorCode.OUTPUT_COLUMNS: Explanation(
                "The returned columns are not the expected ones.",
                "Return the same columns in each call, or correct `output.schema`.",
            ),
            ErrorCode.OUTPUT_KIND: Explanation(
                "`run()` returned a value that cannot be converted to rows.",
                "Return a list, an array, or a DataFrame.",
            ),
            ErrorCode.OUTPUT_NULL: Explanation(
                "A NULL was returned for a column that is NOT NULL.",
                "Return a value, or remove NOT NULL from `output.schema`.",
            ),
            ErrorCode.OUTPUT_ORDER: Explanation(
                "The returned rows are in another order than the mini-batch, or in an unknown order.",
                "Return the rows in the order of the mini-batch.",
            ),
            ErrorCode.OUTPUT_PARTITION_VALUE: Explanation(
                "A value of a partition column cannot be the name of a folder.",
                "Return another value, or partition by another column.",
            ),
            ErrorCode.OUTPUT_ROWS: Explanation(
                "`run()` did not return one element for each item.",
                "Return one element for each item, or set `output.carry: []`.",
            ),
            ErrorCode.OUTPUT_SHAPE: Explanation(
                "The returned elements have different shapes.",
                "Return only scalars, only lists of one type, only tuples, or only dictionaries.",
            ),
            ErrorCode.OUTPUT_TYPE: Explanation(
                "A returned value cannot be converted exactly to the type of its column.",
                "Return values of that type, or declare another in `output.schema`.",
            ),
            ErrorCode.OUTPUT_UNKNOWN: Explanation(
                "The columns of the result are unknown, because `run()` returned nothing for the first mini-batches.",
                "Declare `output.schema`.",
            ),
            ErrorCode.OUTPUT_UNREADABLE: Explanation(
                "The value that `run()` returned cannot be read.",
                "Return plain numbers, texts and arrays.",
            ),
            ErrorCode.PROCESS_BROKEN: Explanation(
                "The script broke the connection to the process in which it runs.",
                "Do not close or use file descriptors that the script did not open.",
            ),
            ErrorCode.PROCESS_ENDED: Explanation(
                "The process that scores ended during a call.",
                "Give it more memory, or make mini-batches smaller; the log shows what it was doing.",
            ),
            ErrorCode.SPARK_JOB: Explanation(
                "The Spark job failed.",
                "See Spark's whole message in the log.",
            ),
            ErrorCode.WORKER_DIED: Explanation(
                "A worker process of Spark ended while it scored.",
                "Make mini-batches smaller, or use `isolation: process`.",
            ),
        },
    ),
)
