"""The feature cache: what the frozen vision encoder makes of each image, computed once and kept on the disk.

precision   how numbers are stored, and what that costs in accuracy
keys        what an entry stands for: an image's content, the transform, the crop; and whose weights made it
store       the folder: shards, their index, reading by place
crops       fixed crops of each image, drawn anew every epoch; as images or as features
fill        compute what is missing
run_features  a run's data sets and model, connected to a cache
"""
