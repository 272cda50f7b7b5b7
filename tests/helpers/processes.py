"""Processes that tests start: each is forked from one that has imported the package and run nothing.

A fork of the process of the tests would hold what earlier tests left there: locks that a thread holds which the fork
does not have, groups of processes that wait for such a thread when they are collected, autograd threads that PyTorch
refuses to do without (a compiled model's backward pass starts them). What goes to such a process is pickled.
"""

import multiprocessing

CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload(["lavis_sam.plugin.runner"])


def clean_process(target, *args, **options):
    """A process, not yet started, that calls `target`."""
    return CLEAN.Process(target=_call, args=(target, args, options))


def _call(target, args, options):
    # Its own data loading is forked from it, as in every run: PyTorch's workers end when their parent is gone, and
    # those of a forkserver have another parent.
    multiprocessing.set_start_method("fork", force=True)
    target(*args, **options)
