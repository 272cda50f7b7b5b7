"""The data sets of the paper as their authors release them: one module a release, and `reading` for all of them.

A module says where a release keeps its samples (`entries`); `datasets.catalogue` lists them. Prompts, checks of texts
and images, duplicate ids and the account of what was dropped are the same for all and live in `reading`.
"""
