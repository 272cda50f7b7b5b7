"""`lavis-sam demo`: a page to ask a model about several images, with and without guidance; needs the extra `demo`.

switches      which switches of the guidance a model can turn with the weights that it has
side_by_side  what the page sends, read within bounds; answers that are written in turns
heat_maps     which patches guided which image, as HTML
examples      images and questions that come with the package
page          the page itself; the only module that imports gradio
"""
