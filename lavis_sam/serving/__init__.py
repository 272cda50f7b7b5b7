"""`lavis-sam serve`: the OpenAI chat-completions protocol over a loaded model; needs the extra `serve`.

limits        what a request may be
chat_request  a request's JSON, checked, as prompt, images and decoding
image_urls    the images of a request, decoded within bounds
batcher       the thread of the model: compatible requests together, streams in turns
answers       what the model wrote for a batch; stop texts; seeds
replies       answers, pieces and errors as JSON
counters      what /metrics says
app           the routes
server        the socket, and the end on SIGTERM
"""
