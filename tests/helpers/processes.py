"""Processes that tests start: each is forked from one that has imported the package and run nothing.

A fork of the process of the tests would hold what earlier tests left there: locks that a thread holds which the fork
does not have, groups of processes that wait for such a thread when they are collected, autograd threads that PyTorch
refuses to do without (a compiled model's backward pass starts them). What goes to such a process is pickled.
"""

import multiprocessing

CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload(["lavis_sam.plugin.runner"])
