"""Evaluation: every sample of a data set answered exactly once, scored, and left on the disk.

    model            what an evaluation needs of a model; SAM (`sam_model`) and the baselines are such models
    evaluate         the one way to evaluate: data set, model, folder -> results
    batches          batches of samples of like size, dealt to the processes
    batch_memory     how many bytes a batch needs while it is answered
    generation_loop  answers each batch, shows progress, agrees with the other processes
    prediction_log   keeps every answer as it comes, so that an interrupted evaluation continues
    fingerprint      what an answer depends on: a continuation with anything else is refused
    run_folder       predictions, scores and manifest, written in one call and checked when read

Nothing here imports LAVIS; the LAVIS task and the paper's benchmark stand in `plugin/`.
"""
