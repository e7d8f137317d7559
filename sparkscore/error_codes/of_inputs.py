"""What the codes of inputs and of scoring mean (driver)."""

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
                "A file is so large that Spark would cut it although it must stay whole.",
                "Make the file smaller, or give `settings.mini_batch_size` in bytes.",
            ),
            ErrorCode.INPUT_CHANGED: Explanation(
                "The input changed while the run read it.",
                "Run again when the input is complete.",
            ),
            ErrorCode.INPUT_CODEC: Explanation(
                "A Parquet file is packed in a way that Spark cannot unpack.",
                "Write it with snappy, zstd, gzip or lz4, or without compression.",
            ),
            ErrorCode.INPUT_COLUMNS: Explanation(
                "The input does not have the columns that the deployment asks for.",
                "Correct `input.schema` or `input.columns`; upper and lower case count.",
            ),
            ErrorCode.INPUT_COLUMN_NAMES: Explanation(
                "A column's name cannot be told from another's, or cannot be used.",
                "Rename the columns in the input.",
            ),
            ErrorCode.INPUT_DELTA: Explanation(
                "Several tables are named where a Delta input is one.",
                "Score the tables one by one.",
            ),
            ErrorCode.INPUT_EMPTY: Explanation(
                "The input has nothing to score.",
                "Check `--input` and `input.format`.",
            ),
            ErrorCode.INPUT_ENCODING: Explanation(
                "A text file has bytes that are no text in the encoding it is read with.",
                "Convert the file to UTF-8, or set `input.options.encoding`.",
            ),
            ErrorCode.INPUT_ENDINGS: Explanation(
                "Files of other kinds lie among the files to score.",
                "Leave them out with a pattern, or set `input.format`.",
            ),
            ErrorCode.INPUT_HEADERS: Explanation(
                "CSV files have different headers.",
                "Write them alike, or score them one by one.",
            ),
            ErrorCode.INPUT_INEXACT: Explanation(
                "An integer beyond 2^53 stands in a column that is handed over as `float64`.",
                "Fill the NULLs, or set `input.dtypes: arrow`.",
            ),
            ErrorCode.INPUT_IS_DELTA: Explanation(
                "The folder is a Delta table and is to be read as files.",
                "Read it with `--input-format delta`.",
            ),
            ErrorCode.INPUT_LINE_ENDS: Explanation(
                "A CSV file mixes ends of lines so that rows would be joined, or has one in a value that would change.",
                "Write the file with one kind of line end, or set the option that the message names.",
            ),
            ErrorCode.INPUT_MISSING: Explanation(
                "The run has no input.",
                "Name it with `--input` or `input.location`.",
            ),
            ErrorCode.INPUT_NAME: Explanation(
                "The name of an input file cannot be handled by Spark.",
                "Rename the file.",
            ),
            ErrorCode.INPUT_NOT_FOUND: Explanation(
                "The input is not at the place that was named.",
                "Correct `--input`, or name its format with `--input-format`.",
            ),
            ErrorCode.INPUT_NULL: Explanation(
                "A NULL stands in a column that is declared or counted as without one.",
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
                "An option under `input.options` is misspelt, or would change values or leave files out.",
                "Correct it, or do what the message says in its place.",
            ),
            ErrorCode.INPUT_OUTPUT_OVERLAP: Explanation(
                "The input and the output lie inside each other.",
                "Name another `--output`.",
            ),
            ErrorCode.INPUT_OWN_FILES: Explanation(
                "The input is a file of sparkscore's own, such as a run record.",
                "Name the files to score.",
            ),
            ErrorCode.INPUT_PACKED: Explanation(
                "A file is packed in a form that Spark cannot unpack, or its name says another one.",
                "Unpack the file.",
            ),
            ErrorCode.INPUT_PARTITIONS: Explanation(
                "The folders `key=value` above the files cannot become columns.",
                "Score the parts one by one, or name the files by a pattern.",
            ),
            ErrorCode.INPUT_QUOTES: Explanation(
                "Quotes in a CSV file do not follow the rules that it is read with.",
                "Set `input.options.escape` or `input.options.quote` as the message says.",
            ),
            ErrorCode.INPUT_RECORD: Explanation(
                "A JSON file holds a record that Spark would read in part, or not at all.",
                "Correct the line that the message names.",
            ),
            ErrorCode.INPUT_SCHEMA: Explanation(
                "`input.schema` is no valid list of columns, or declares a type that this format cannot give.",
                "Write names and Spark types, for example `id bigint, day date`.",
            ),
            ErrorCode.INPUT_TIME_ZONE: Explanation(
                "A Delta table is partitioned by a time whose zone is not written down.",
                "Start the session in the zone that the message names, or set `input.options.timeZone`.",
            ),
            ErrorCode.INPUT_TYPES: Explanation(
                "A column has several types, or one that cannot be kept exactly.",
                "Declare it in `input.schema`, leave it out with `input.columns`, or cast it beforehand.",
            ),
            ErrorCode.INPUT_UNREADABLE: Explanation(
                "The input cannot be read: a broken file, a row of another width, or no permission.",
                "Repair or remove what the message names; Spark's whole text is in the log.",
            ),
            ErrorCode.INPUT_VALUE: Explanation(
                "A value does not fit the type that its column is declared with.",
                "Declare a type that holds it, or correct the file.",
            ),
            ErrorCode.INPUT_VERSION: Explanation(
                "The Delta table does not have the version that `input.version` names.",
                "Correct `input.version`.",
            ),
            ErrorCode.TABLE_UNREADABLE: Explanation(
                "A table cannot be read, or its history cannot.",
                "Correct the cause and run the same run id again.",
            ),
        },
    ),
    Section(
        "Scoring",
        "What happened to the items. These codes stand in the quarantine, too.",
        {
            ErrorCode.ERROR_THRESHOLD: Explanation(
                "More items or mini-batches failed than the deployment tolerates.",
                "Correct the input or the model, or tolerate more; the log has each failure.",
            ),
            ErrorCode.ITEMS_LOST: Explanation(
                "The counts of the workers do not add up to the plan.",
                "Run again; if it stays so, please report it.",
            ),
            ErrorCode.LOAD_PROCESS_ENDED: Explanation(
                "The process that scores ended while the model was loaded.",
                "Give it more memory; the log says where it was.",
            ),
            ErrorCode.LOAD_TIMEOUT: Explanation(
                "The model was not loaded in time.",
                "Load less in `init()`, or raise `settings.retry_settings.timeout`; the limit for loading follows it.",
            ),
            ErrorCode.MINI_BATCH_TIMEOUT: Explanation(
                "A call took longer than its timeout.",
                "Raise `settings.retry_settings.timeout`, or make mini-batches smaller.",
            ),
            ErrorCode.OUTPUT_ALL_NULL: Explanation(
                "The type of a column is not known, since all its first values are NULL.",
                "Declare `output.schema`.",
            ),
            ErrorCode.OUTPUT_COLUMNS: Explanation(
                "What was returned has other columns than expected.",
                "Return the same columns in each call, or correct `output.schema`.",
            ),
            ErrorCode.OUTPUT_KIND: Explanation(
                "`run()` returned something that cannot become rows.",
                "Return a list, an array, or a DataFrame.",
            ),
            ErrorCode.OUTPUT_NULL: Explanation(
                "A NULL was returned for a column that is NOT NULL.",
                "Return a value, or take NOT NULL out of `output.schema`.",
            ),
            ErrorCode.OUTPUT_ORDER: Explanation(
                "The rows came back in another order, or in one that is not known.",
                "Return the rows in the order of the mini-batch.",
            ),
            ErrorCode.OUTPUT_PARTITION_VALUE: Explanation(
                "A value of a partition column cannot name a folder.",
                "Return another value, or partition by another column.",
            ),
            ErrorCode.OUTPUT_ROWS: Explanation(
                "There is not one element for each item.",
                "Return one element per item, or set `output.carry: []`.",
            ),
            ErrorCode.OUTPUT_SHAPE: Explanation(
                "The elements that came back have different shapes.",
                "Return all scalars, all lists of one kind, all tuples, or all dicts.",
            ),
            ErrorCode.OUTPUT_TYPE: Explanation(
                "A value cannot become the type of its column exactly.",
                "Return values of that type, or declare another in `output.schema`.",
            ),
            ErrorCode.OUTPUT_UNKNOWN: Explanation(
                "The columns of the result are not known, since nothing came back for the first mini-batches.",
                "Declare `output.schema`.",
            ),
            ErrorCode.OUTPUT_UNREADABLE: Explanation(
                "What `run()` returned cannot be read.",
                "Return plain numbers, texts and arrays.",
            ),
            ErrorCode.PROCESS_BROKEN: Explanation(
                "The script broke the connection of the process that it runs in.",
                "Let the script leave descriptors alone that it did not open.",
            ),
            ErrorCode.PROCESS_ENDED: Explanation(
                "The process that scores ended during a call.",
                "Give it more memory, or make mini-batches smaller; the log says where it was.",
            ),
            ErrorCode.SPARK_JOB: Explanation(
                "The Spark job failed.",
                "Spark's whole message is in the log.",
            ),
            ErrorCode.WORKER_DIED: Explanation(
                "A worker process of Spark ended while it scored.",
                "Make mini-batches smaller, or use `isolation: process`.",
            ),
        },
    ),
)
