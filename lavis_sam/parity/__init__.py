"""Parity: is this model the authors' model, number by number, on stored results of their code?

cases      the stored results, read
measure    our model on a case
compare    how far ours may be from theirs
report     every verdict on a folder of cases
"""
