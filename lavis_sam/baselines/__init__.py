"""Other models under the same data, prompts and protocol as SAM: each is an `EvaluationModel`.

    transformers_folder     a folder of transformers' format -> one of the two local models
    local                   what the two local models share, the published decoding in transformers' words included
    chat                    any image-text-to-text model with a chat template
    q_former                BLIP-2 and InstructBLIP: every image's tokens one after the other
    endpoint                a vision model behind an OpenAI-compatible URL
    reply                   the text of a service's reply, without thoughts, and what it counted
    transport               one request: sent over TLS, read with bounds, its failures sorted
    retry                   which failures are tried again, when, and how often
    budget                  what a run may cost at most, asked before every request
    cache                   answers on the disk, under what they depend on
    jpeg                    an image within bounds of size and bytes

Nothing here imports LAVIS, and `endpoint` needs neither a model nor a GPU. Nothing is ever downloaded.
"""
