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

Every stage measures what it made (`quality.py`), and a sample outside a threshold becomes a `Rejection`.
"""
