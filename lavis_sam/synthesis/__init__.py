"""MmLINK: the synthesis of multi-image training data (paper, section 3).

A separate building: nothing here imports LAVIS, and nothing imports torch before a GPU backend is asked for.

The way of a sample, each step a stage of its own:

    plan        which objects, in which images               forms/
    segment     source image -> object with soft edges       stages/segment.py
    composite   objects on an empty canvas                     stages/composite.py
    background  a description of the place                     stages/background.py
    inpaint     the place painted, the objects pasted back     stages/inpaint.py
    describe    the objects in words                           stages/write.py
    write       instruction and answer                         stages/write.py

Every stage measures what it made (`quality.py`), and a sample outside a threshold becomes a `Rejection`. The modules:

    records, protocols, kinds, seeds                 what travels from stage to stage, what a backend offers
    phrases, attributes                              words, and words out of captions
    configuration, registry, pipeline, quality       from a YAML file to stages and thresholds
    run, shares, runners/, worker, work_folder       who makes which part, and where it is kept
    dataset_writer, manifest, duplicates, finished   what is written at the end, and read again
    forecast, measured_hours, live_progress          what a run will need, how far it is
    page, charts, variety, judging/                  what came out, for people to look at
    questions, shared_questions, remote_copy         further questions about a finished set, a copy of it elsewhere
    sources/, backends/, procedural/                 where objects come from, what does a stage's work, the drawn world
"""
