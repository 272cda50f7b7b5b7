"""A small renderer: parametric surfaces in metres, one camera, soft studio light, an exact alpha channel.

    surfaces    shapes as functions of two parameters
    mesh        shapes as nets of small cells
    paint       colours as functions of a place on a surface
    noise       values that vary smoothly in space
    camera      perspective with upright verticals
    raster      which surface is in front, pixel by pixel
    shading     light, shadow, occlusion
    image     all of it: surfaces in, a cut-out image out

Everything is numpy on arrays of points; a figure of 350 pixels takes about a tenth of a second on one core. Space is
right-handed: x to the right, y up, z towards the viewer, the ground at y = 0.
"""
