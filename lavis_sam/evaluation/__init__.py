"""Evaluation: every sample of a data set answered exactly once, scored, and left on the disk.

Nothing here but `benchmark` imports LAVIS. The way of an evaluation:

    loading     batches of samples of like size, dealt to the processes
    answering   answers each batch, shows progress, agrees with the other processes
    journal     keeps every answer as it comes, so that an interrupted evaluation continues
    identity    what an answer depends on: a continuation with anything else is refused
    results     answers -> predictions -> scores -> the run folder
    answerer    any model, as long as it can answer questions about pictures
    benchmark   all data sets of the paper
    sources     how to get them
"""

from lavis_sam.evaluation.answerer import Answerer, Question, evaluate

__all__ = ["Answerer", "Question", "evaluate"]
