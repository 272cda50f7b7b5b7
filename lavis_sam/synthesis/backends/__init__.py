"""Backends: what does the work of a stage. Embedded ones need no network, no GPU and no account.

    embedded            what runs anywhere: panoramas, templates
    u2net               U2-Netp's saliency
    chat, chat_service  places and smoother answers from any OpenAI-compatible service
    local_model         what the four below share: a model's files, device, precision and batches
    segment_anything    Segment Anything 1 and 2
    diffusion           any inpainting pipeline of diffusers
    captioning          InstructBLIP, transformers' or ours
    similarity          CLIP or SigLIP

`registry.py` has their names in the configuration.
"""
