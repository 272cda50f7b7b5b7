"""The stages after the plan; each takes a batch of drafts and gives back drafts or failures.

base         batches in which one failure is one failure
segment      objects cut out of their source images
composite    objects on an empty canvas
background   descriptions of places
inpaint      places painted, objects pasted back
write        descriptions of objects, instruction and answer
"""
