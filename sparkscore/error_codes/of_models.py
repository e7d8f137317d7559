"""Explanations of the error codes for models. Runs on the driver."""

from __future__ import annotations

from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.error_codes.explanation import Explanation, Section

SECTIONS: Final = (
    Section(
        "The model",
        "",
        {
            ErrorCode.IMAGE_DEPTH: Explanation(
                "An image has more bits per channel than the model accepts.",
                "Convert the image, or exclude it.",
            ),
            ErrorCode.IMAGE_SIZE: Explanation(
                "An image has another shape than the model accepts, or than the other images.",
                "Resize the image, or exclude it.",
            ),
            ErrorCode.IMAGE_UNREADABLE: Explanation(
                "A file cannot be decoded as an image.",
                "Repair the file, or exclude it.",
            ),
            ErrorCode.MODEL_BROKEN: Explanation(
                "The model file is damaged, or is not what its name or `model.framework` says.",
                "Save or copy the model again, or correct `model.framework`.",
            ),
            ErrorCode.MODEL_CACHE: Explanation(
                "The folder for copies of models on a worker belongs to another user, or other users can write to it.",
                "Remove the folder that the message names on that host.",
            ),
            ErrorCode.MODEL_CATEGORIES: Explanation(
                "The model's lists of categories cannot be used.",
                "Save the model again with the columns that the message names.",
            ),
            ErrorCode.MODEL_CHANGED: Explanation(
                "The model's files changed during the run.",
                "Run again when the model is complete.",
            ),
            ErrorCode.MODEL_DIGEST: Explanation(
                "The model's files do not have the digest in `model.sha256`.",
                "Restore the model, or correct `model.sha256`.",
            ),
            ErrorCode.MODEL_FETCH: Explanation(
                "A worker cannot copy the model to its host.",
                "Give the workers read access to the folder of the run, and write access to their own `TMPDIR`.",
            ),
            ErrorCode.MODEL_FRAMEWORK: Explanation(
                "sparkscore does not know which library can load this file.",
                "Set `model.framework`, or add a scoring script to the deployment.",
            ),
            ErrorCode.MODEL_INPUT: Explanation(
                "The model cannot use the columns of the input, for example because their order is unknown.",
                "Set `input.columns` as the message says.",
            ),
            ErrorCode.MODEL_INPUT_VALUE: Explanation(
                "A value of the input cannot be converted exactly to the type of the model's input.",
                "Correct the value, or cast the column before scoring.",
            ),
            ErrorCode.MODEL_LOAD: Explanation(
                "Loading the model raised an exception.",
                "Install the library version that saved the model on the workers, or save the model again.",
            ),
            ErrorCode.MODEL_METHOD: Explanation(
                "The model does not have the method that `model.predict_fn` names.",
                "Correct `model.predict_fn`.",
            ),
            ErrorCode.MODEL_MISSING: Explanation(
                "The deployment has no model.",
                "Set one with `--model` or `model.path`.",
            ),
            ErrorCode.MODEL_NAME: Explanation(
                "A name under `models` is not valid, or is used twice.",
                "Give the model another name.",
            ),
            ErrorCode.MODEL_NOT_FOUND: Explanation(
                "The model does not exist at the given path, or with the given name and version.",
                "Correct `--model` or `model.path`, or set `MLFLOW_TRACKING_URI`.",
            ),
            ErrorCode.MODEL_PARAMS: Explanation(
                "`model.params` does not match the parameters of the model's signature.",
                "Correct `model.params`, or log the model with those parameters.",
            ),
            ErrorCode.MODEL_PREDICT: Explanation(
                "The model raised an exception during prediction.",
                "Check these rows for values that the model was not trained with; the traceback is in the log.",
            ),
            ErrorCode.MODEL_REFERENCE: Explanation(
                "The reference to a model has an unknown form.",
                "Correct `--model` or `model.path`; the message lists the forms.",
            ),
            ErrorCode.MODEL_REGISTRY: Explanation(
                "MLflow's model registry cannot be reached, or denies access.",
                "Check `MLFLOW_TRACKING_URI`, `MLFLOW_REGISTRY_URI` and your credentials.",
            ),
            ErrorCode.MODEL_SETTING: Explanation(
                "A setting under `model` has no meaning for this type of model.",
                "Remove the line.",
            ),
            ErrorCode.MODEL_TRUST: Explanation(
                "The model file can run any code while it is loaded.",
                "If you trust its author, set `trust: code`.",
            ),
            ErrorCode.MODEL_UNREADABLE: Explanation(
                "The model's files cannot be read.",
                "Correct the permissions, or copy the model again.",
            ),
            ErrorCode.MODEL_VERSION: Explanation(
                "The scoring script asks for another version of a model than the deployment has.",
                "Do not ask for a version in the script, or correct `path` and `version` in the deployment.",
            ),
            ErrorCode.ONNX_BROKEN: Explanation(
                "The file is not a valid ONNX model.",
                "Export or copy the model again.",
            ),
            ErrorCode.ONNX_EXTERNAL_DATA: Explanation(
                "An ONNX model keeps data in other files, which are missing or outside of its folder.",
                "Put the files into the model's folder, where they were exported.",
            ),
            ErrorCode.ONNX_INPUT: Explanation(
                "An input of the ONNX graph cannot be filled with rows.",
                "Export the model with one tensor of rows for each input, or use a scoring script.",
            ),
            ErrorCode.ONNX_IR: Explanation(
                "The ONNX model has a newer format than the installed ONNX Runtime can read.",
                "Install a newer onnxruntime, or export the model for an older version.",
            ),
            ErrorCode.ONNX_NO_GRAPH: Explanation(
                "The folder has no `.onnx` file.",
                "Correct `--model` or `model.path`.",
            ),
            ErrorCode.ONNX_OPSET: Explanation(
                "The ONNX model uses operators that the installed ONNX Runtime does not know.",
                "Install a newer onnxruntime, or export the model with an older opset.",
            ),
            ErrorCode.ONNX_OUTPUT: Explanation(
                "An output of the ONNX graph cannot be converted to a column.",
                "Cast it in the graph, remove it, or use a scoring script.",
            ),
            ErrorCode.ONNX_PROVIDER: Explanation(
                "`model.providers` has an execution provider that is not installed on the workers.",
                "Correct `model.providers`, or install the package of the provider.",
            ),
            ErrorCode.ONNX_SESSION_OPTION: Explanation(
                "`model.session_options` has an option or a value that ONNX Runtime does not know.",
                "Correct `model.session_options`.",
            ),
            ErrorCode.ONNX_SEVERAL_GRAPHS: Explanation(
                "The folder has several `.onnx` files.",
                "Set one of the files in `model.path`.",
            ),
            ErrorCode.SIGNATURE_MISMATCH: Explanation(
                "The columns of the input do not match the model's signature, or their types differ.",
                "Correct the input, map the columns with `model.inputs`, or log the model again.",
            ),
        },
    ),
)
