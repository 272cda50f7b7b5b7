"""How fast the models of the synthesis are here: answers a second in each stage, memory, and a forecast's error.

    python benchmarks/synthesis_models.py --sizes tiny --num 3
    python benchmarks/synthesis_models.py --sizes real --device cuda --num 16 --batch-size 1 4 --out results.json

`tiny` proves the script on any machine. `real` has the dimensions of Segment Anything ViT-H, an SDXL inpainting
pipeline, InstructBLIP on Vicuna-7B and CLIP ViT-L/14, with random weights: what is computed is worth nothing, how long
it takes is what the real ones take. They are written to disk once (about 25 GB in bf16, see --models) and loaded as a
run loads them. Each stage is measured twice: on a few answers, as a plan would, and on all of them; `forecast_error` is
how far the first is off the second.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers import synthesis_models
from helpers.synthesis import FakeInpainter, composed, planned
from helpers.vision_language import write_instructblip
from lavis_sam.files import write_json
from lavis_sam.memory import peak_bytes
from lavis_sam.synthesis.backends.captioning import InstructBlipDescriber
from lavis_sam.synthesis.backends.diffusion import DiffusionInpainter
from lavis_sam.synthesis.backends.segment_anything import SegmentAnything
from lavis_sam.synthesis.backends.similarity import ClipScorer
from lavis_sam.synthesis.protocols import DescribeRequest, InpaintRequest, ScoreRequest
from lavis_sam.synthesis.stages.inpaint import InpaintStage

JOBS = ("segment", "inpaint", "describe", "score")
# A plan measures so many answers.
FEW = 2
WRITERS: dict[str, Callable[[Path], Path]] = {
    "segment": synthesis_models.write_segment_anything,
    "inpaint": synthesis_models.write_stable_diffusion_xl,
    "describe": write_instructblip,
    "score": synthesis_models.write_clip,
}


def real_modules(job: str) -> dict[str, Any]:
    """The modules of a stage's model at real dimensions, on torch's default device and in its default precision."""
    import transformers as hf

    ends = {"bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}  # of the tiny tokenizer, which reads for it
    small = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    large = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
    if job == "segment":
        vision = {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "mlp_dim": 5120}
        return {"": hf.SamModel(hf.SamConfig(vision_config={**vision, "global_attn_indexes": [7, 15, 23, 31]}))}
    if job == "describe":
        config = hf.InstructBlipConfig(text_config=hf.LlamaConfig(vocab_size=32001).to_dict(), image_token_index=32000)
        return {"": hf.InstructBlipForConditionalGeneration(config)}
    if job == "score":
        vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
        text = {**small, **ends, "projection_dim": 768}
        config = hf.CLIPConfig(text_config=text, vision_config={**vision, "patch_size": 14}, projection_dim=768)
        return {"": hf.CLIPModel(config)}
    from diffusers import AutoencoderKL, UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=128,
        in_channels=9,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(320, 640, 1280),
        transformer_layers_per_block=[1, 2, 10],
        attention_head_dim=[5, 10, 20],
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=1024,
        scaling_factor=0.13025,
    )
    first = hf.CLIPTextModel(hf.CLIPTextConfig(**small, **ends))
    second = hf.CLIPTextModelWithProjection(hf.CLIPTextConfig(**large, **ends, projection_dim=1280, hidden_act="gelu"))
    return {"unet": unet, "vae": vae, "text_encoder": first, "text_encoder_2": second}


def write_real(job: str, folder: Path, device: str) -> Path:
    """The tiny model's folder with modules of real dimensions in it, and an image processor to match."""
    WRITERS[job](folder)
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        try:
            modules = real_modules(job)
        finally:
            torch.set_default_dtype(torch.float32)
    for name, module in modules.items():
        module.save_pretrained(folder / name)
    del modules
    sides = {
        "segment": {"size": {"longest_edge": 1024}, "pad_size": {"height": 1024, "width": 1024}},
        "describe": {"size": {"height": 224, "width": 224}},
        "score": {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}},
    }
    for file in folder.glob("*processor_config.json"):
        values = json.loads(file.read_text(encoding="utf-8"))
        values.get("image_processor", values).update(sides.get(job, {}))
        write_json(file, values)
    return folder


def requests_of(job: str, num: int) -> list[Any]:
    """What a run would ask; one a sample."""
    drafts = [composed(None, None, slot=slot) for slot in range(num)]
    if job == "segment":
        return [planned(None, slot=slot).plan.objects[0].views[0].image for slot in range(num)]
    if job == "inpaint":
        rng = np.random.default_rng(0)
        return [InpaintRequest(rng, draft.composites[0], draft.backgrounds[0], draft.composites) for draft in drafts]
    if job == "describe":
        objects = [draft.plan.objects[0] for draft in drafts]
        return [DescribeRequest(np.random.default_rng(0), obj, obj.views) for obj in objects]
    finished = InpaintStage(FakeInpainter(), fill=127)(drafts)
    return [ScoreRequest(draft.images, draft.composites, draft.plan.images, draft.backgrounds) for draft in finished]


def make(job: str, folder: Path, batch_size: int, *, is_real: bool, device: str, precision: str | None) -> Any:
    """The stage's call: requests -> answers."""
    options = {"device": device, "precision": precision, "batch_size": batch_size}
    if job == "segment":
        return SegmentAnything(str(folder), points_per_side=16 if is_real else 2, **options).segment
    if job == "inpaint":
        more = {"steps": 30, "size": 1024} if is_real else {"steps": 2}
        return DiffusionInpainter(str(folder), **more, **options).inpaint
    if job == "describe":
        return InstructBlipDescriber(str(folder), max_length=40 if is_real else 6, **options).describe
    return ClipScorer(str(folder), **options).score


def measure(call: Callable[[Sequence[Any]], Sequence[Any]], requests: Sequence[Any], device: str) -> dict[str, float]:
    """Seconds of all requests, of a few of them, and what the few would have foretold."""
    call(requests[:1])  # loads the weights
    is_cuda = torch.device(device).type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = {}
    for count in (FEW, len(requests)):
        began = time.perf_counter()
        answered = len(call(requests[:count]))
        if is_cuda:
            torch.cuda.synchronize()
        seconds[count] = (time.perf_counter() - began) / answered
    few, all_ = seconds[FEW], seconds[len(requests)]
    return {
        "seconds_an_answer": all_,
        "answers_a_second": 1 / all_,
        "forecast_error": few / all_ - 1,
        "peak_bytes": peak_bytes(torch.device(device)),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure every stage with every batch size, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", choices=("tiny", "real"), default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--num", type=int, default=8, help=f"answers of each stage, {FEW} or more")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1])
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--models", type=Path, help="where the models' folders stay; by default nowhere")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    if options.num < FEW:
        parser.error(f"--num: found {options.num}, wanted {FEW} or more")
    is_real, stages = options.sizes == "real", {}
    with tempfile.TemporaryDirectory() as temporary:
        root = options.models or Path(temporary)
        for job in options.jobs:
            folder = root / f"{options.sizes}_{job}"
            if not folder.exists():
                write_real(job, folder, options.device) if is_real else WRITERS[job](folder)
            requests = requests_of(job, options.num)
            for size in options.batch_size:
                call = make(job, folder, size, is_real=is_real, device=options.device, precision=options.precision)
                stages[f"{job}, batch size {size}"] = measure(call, requests, options.device)
                del call
    is_cuda = torch.device(options.device).type == "cuda"
    report = {
        "sizes": options.sizes,
        "device": torch.cuda.get_device_name() if is_cuda else "cpu",
        "precision": options.precision,
        "num": options.num,
        "torch": torch.__version__,
        "stages": stages,
    }
    print(json.dumps(report, indent=2))
    if options.out:
        write_json(options.out, report)
    return report


if __name__ == "__main__":
    main()
