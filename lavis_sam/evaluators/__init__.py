"""lmms-eval and VLMEvalKit ask our model: what they need to know of the model, of tasks and of scores.

    questions            messages to images and a prompt, decoding, stops, likelihoods of given texts
    scoring              predictions under the protocols `sam` and `coco`
    lmms_eval_entry      the entry point by which lmms-eval finds the model
    lmms_eval_model      the model as lmms-eval asks it
    lmms_eval_task       what the tasks of `lavis-sam data export lmms-eval` name
    vlmeval_launch       VLMEvalKit's command, with our model and data sets entered
    vlmeval_model        the model as VLMEvalKit asks it
    vlmeval_dataset      the data sets of `lavis-sam data export vlmevalkit`

They are not among our requirements: each is installed in an environment of its own (docs/evaluators.md).
"""
