"""Evaluation: every sample of a data set answered exactly once, scored, and left on the disk.

The way of an evaluation:

    batches          batches of samples of like size, dealt to the processes
    generation_loop  answers each batch, shows progress, agrees with the other processes
    prediction_log   keeps every answer as it comes, so that an interrupted evaluation continues
    fingerprint      what an answer depends on: a continuation with anything else is refused
    results          answers -> predictions -> scores -> the run folder
    evaluate         any model, as long as it can answer questions about images
    benchmark        all data sets of the paper
"""
