"""Room 7 of the way of the data: scores -> files, tables and comparisons.

Nothing here imports LAVIS or torch.

    run_folder      what an evaluation leaves on disk, written in one call and checked when read
    published       the paper's printed numbers, as data
    tables          measured results beside published ones
    comparison      two models on the same samples
"""
