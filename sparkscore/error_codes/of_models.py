"""What the codes of models mean (driver)."""

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
                "An image has more bits per channel than the model takes.",
                "Convert the image beforehand, or leave it out.",
            ),
            ErrorCode.IMAGE_SIZE: Explanation(
                "An image has another shape than the model takes, or than the other images.",
                "Resize the image beforehand, or leave it out.",
            ),
            ErrorCode.IMAGE_UNREADABLE: Explanation(
                "A file cannot be decoded as an image.",
                "Repair the file, or leave it out.",
            ),
            ErrorCode.MODEL_BROKEN: Explanation(
                "The file of the model is not what it should be, or is damaged.",
                "Save or copy the model again, or correct `model.framework`.",
            ),
            ErrorCode.MODEL_CACHE: Explanation(
                "The folder for copies of models on a worker belongs to another user, or others can write there.",
                "Remove the folder that the message names on that host.",
            ),
            ErrorCode.MODEL_CATEGORIES: Explanation(
                "The lists of categories of the model cannot be used.",
                "Save the model again with the columns that the message names.",
            ),
            ErrorCode.MODEL_CHANGED: Explanation(
                "The files of the model changed while the run was at work.",
                "Run again when the model is complete.",
            ),
            ErrorCode.MODEL_DIGEST: Explanation(
                "The files of the model do not have the checksum in `model.sha256`.",
                "Restore the model, or correct `model.sha256`.",
            ),
            ErrorCode.MODEL_FETCH: Explanation(
                "A worker cannot copy the model to its host.",
                "Let workers read the folder of the run and write their own `TMPDIR`.",
            ),
            ErrorCode.MODEL_FRAMEWORK: Explanation(
                "It is not known how to score this file.",
                "Set `model.framework`, or give the deployment a scoring script.",
            ),
            ErrorCode.MODEL_INPUT: Explanation(
                "The model cannot take the input's columns as they are, for example without a known order.",
                "Set `input.columns` as the message says.",
            ),
            ErrorCode.MODEL_INPUT_VALUE: Explanation(
                "A value of the input cannot become what the model takes without a change.",
                "Correct the value, or cast the column beforehand.",
            ),
            ErrorCode.MODEL_LOAD: Explanation(
                "The model is there and raised an exception while it was loaded.",
                "Give the workers the library version that saved the model, or save it again.",
            ),
            ErrorCode.MODEL_METHOD: Explanation(
                "The model does not have the method that `model.predict_fn` names.",
                "Correct `model.predict_fn`.",
            ),
            ErrorCode.MODEL_MISSING: Explanation(
                "No model is named.",
                "Name one with `--model` or `model.path`.",
            ),
            ErrorCode.MODEL_NAME: Explanation(
                "A name under `models` cannot be used, or is used twice.",
                "Give the model another name.",
            ),
            ErrorCode.MODEL_NOT_FOUND: Explanation(
                "The model is not at the place, or under the name and version, that was given.",
                "Correct `--model` or `model.path`, or set `MLFLOW_TRACKING_URI`.",
            ),
            ErrorCode.MODEL_PARAMS: Explanation(
                "`model.params` does not fit the parameters of the model's signature.",
                "Correct `model.params`, or log the model with those parameters.",
            ),
            ErrorCode.MODEL_PREDICT: Explanation(
                "The model raised an exception while it predicted.",
                "Look in these rows for what the model was not trained with; the traceback is in the log.",
            ),
            ErrorCode.MODEL_REFERENCE: Explanation(
                "The reference to a model is not in a form that sparkscore knows.",
                "Correct `--model` or `model.path`; the message lists the forms.",
            ),
            ErrorCode.MODEL_REGISTRY: Explanation(
                "The registry of MLflow cannot be reached, or refuses.",
                "Check `MLFLOW_TRACKING_URI`, `MLFLOW_REGISTRY_URI` and your credentials.",
            ),
            ErrorCode.MODEL_SETTING: Explanation(
                "A setting under `model` means nothing for this kind of model.",
                "Remove the line.",
            ),
            ErrorCode.MODEL_TRUST: Explanation(
                "The file of the model can run any code while it loads.",
                "If you trust who made it, set `trust: code`.",
            ),
            ErrorCode.MODEL_UNREADABLE: Explanation(
                "Files of the model cannot be read.",
                "Allow reading them, or give the model again.",
            ),
            ErrorCode.MODEL_VERSION: Explanation(
                "The scoring script asks for another version of a model than the deployment has.",
                "Ask for no version, or set `path` and `version` in the deployment.",
            ),
            ErrorCode.ONNX_BROKEN: Explanation(
                "The file is not a valid ONNX model.",
                "Export or copy the model again.",
            ),
            ErrorCode.ONNX_EXTERNAL_DATA: Explanation(
                "The data that an ONNX model keeps in other files is missing or out of reach.",
                "Put the files beside the model, as it was exported.",
            ),
            ErrorCode.ONNX_INPUT: Explanation(
                "An input of the ONNX graph cannot be filled from rows.",
                "Export the model with tensors of rows as inputs, or use a script.",
            ),
            ErrorCode.ONNX_IR: Explanation(
                "The ONNX model has a newer format than the installed ONNX Runtime reads.",
                "Install a newer onnxruntime, or export the model for an older version.",
            ),
            ErrorCode.ONNX_NO_GRAPH: Explanation(
                "There is no `.onnx` file in the folder.",
                "Correct `--model` or `model.path`.",
            ),
            ErrorCode.ONNX_OPSET: Explanation(
                "The ONNX model uses operators that the installed ONNX Runtime does not know.",
                "Install a newer onnxruntime, or export the model with an older opset.",
            ),
            ErrorCode.ONNX_OUTPUT: Explanation(
                "An output of the ONNX graph cannot become a column.",
                "Cast it in the graph, take it out, or use a script.",
            ),
            ErrorCode.ONNX_PROVIDER: Explanation(
                "`model.providers` names a provider that is not installed on the workers.",
                "Correct `model.providers`, or install the package that has it.",
            ),
            ErrorCode.ONNX_SESSION_OPTION: Explanation(
                "`model.session_options` has an option or a value that ONNX Runtime does not know.",
                "Correct `model.session_options`.",
            ),
            ErrorCode.ONNX_SEVERAL_GRAPHS: Explanation(
                "The folder holds several `.onnx` files.",
                "Name the file itself in `model.path`.",
            ),
            ErrorCode.SIGNATURE_MISMATCH: Explanation(
                "The columns of the input are not those of the model's signature, or their types differ.",
                "Correct the input, map the columns with `model.inputs`, or log the model again.",
            ),
        },
    ),
)
