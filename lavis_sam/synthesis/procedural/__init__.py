"""The embedded backends: objects, places, a segmenter and words that need no network, no GPU and no account.

    characters   people drawn from attributes, with poses
    furniture    solids in true perspective, with materials
    icons        emoji with their names
    covers       book covers with invented authors and titles
    scenes       perspective views of 360-degree photographs
    compositor   subjects set into a view, with shadows on its ground
    u2net        a small segmentation network on onnxruntime
    texts        phrasings that keep every attribute

All of it is a function of its arguments and of the numpy generator passed in. `types` has the records they share.
"""
