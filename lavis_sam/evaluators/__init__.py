"""lmms-eval asks our model: what it needs to know of the model, of tasks and of scores.

    questions            messages to images and a prompt, decoding, stops, likelihoods of given texts
    scoring              predictions under the protocols `sam` and `coco`
    lmms_eval_entry      the entry point by which lmms-eval finds the model
    lmms_eval_model      the model as lmms-eval asks it
    lmms_eval_task       what the tasks of `lavis-sam data export lmms-eval` name

It is not among our requirements: it is installed in an environment of its own (docs/evaluators.md).
"""
