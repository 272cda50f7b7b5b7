"""The local models that baselines are tested with, each written into a folder of its own."""

from helpers.vision_language import write_blip2, write_idefics3, write_instructblip, write_llava, write_qwen2_vl
from lavis_sam.baselines.transformers_folder import load_model
from lavis_sam.models.decoding import Decoding

WRITERS = {
    "llava": write_llava,
    "qwen2_vl": write_qwen2_vl,
    "idefics3": write_idefics3,
    "blip2_opt": write_blip2,
    "blip2_t5": lambda folder: write_blip2(folder, language="t5"),
    "instructblip": write_instructblip,
}
CHAT = ["llava", "qwen2_vl", "idefics3"]
Q_FORMER = ["blip2_opt", "blip2_t5", "instructblip"]
SHORT = Decoding(max_length=10)


def load(folder, decoding=SHORT, **more):
    return load_model(str(folder), device="cpu", decoding=decoding, **more)
