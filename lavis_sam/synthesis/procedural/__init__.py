"""The drawn world: objects, places and what is said of them, without files from outside, network, GPU or account.

    characters   people drawn from attributes, with poses
    furniture    solids in true perspective, with materials
    icons        emoji with their names
    covers       book covers with invented authors and titles
    scenes       perspective views of 360-degree photographs
    compositor   subjects set into a view, with shadows on its ground
    render/      the renderer; figure/ and pieces/ are the bodies, clothes and furniture that it draws

All of it is a function of its arguments and of the numpy generator passed in. `sources/embedded.py` and
`backends/embedded.py` hand it to the pipeline; `tests/synthesis/golden` has what it is meant to look like.
"""
