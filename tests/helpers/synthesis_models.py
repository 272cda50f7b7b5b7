"""Tiny random models of the synthesis' real backends, each written as the folder that its authors give out.

The sizes are those of a toy, the layouts are real: config, processor, tokenizer and safetensors weights, a pipeline's
`model_index.json` and its parts. Each is made in less than a second or two, and holds about a megabyte at most.
"""

import functools
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizerFast,
    PreTrainedTokenizerFast,
    Sam2Config,
    Sam2ImageProcessor,
    Sam2Model,
    Sam2Processor,
    SamConfig,
    SamImageProcessor,
    SamModel,
    SamProcessor,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipProcessor,
)

# Pixels that Segment Anything sees here; 1024 in the real ones.
SEEN = 64
WIDTH = 32
_SMALL = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
_NORM = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
_TEXT_TOKENS = 77


def _random(build: Any, std: float = 0.2, seed: int = 0) -> Any:
    """A model with random weights; the same ones every time, whatever else draws numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=std)
    return model.eval()


def write_segment_anything(folder: Path, *, finds_nothing: bool = False) -> Path:
    """As facebook/sam-vit-*.

    Args:
        finds_nothing: Its masks are empty, whatever it is asked.
    """
    config = SamConfig(
        vision_config={
            **_SMALL,
            "output_channels": WIDTH,
            "image_size": SEEN,
            "patch_size": 8,
            "window_size": 4,
            "global_attn_indexes": [1],
            "num_pos_feats": WIDTH // 2,
            "mlp_dim": 2 * WIDTH,
        },
        prompt_encoder_config={
            "hidden_size": WIDTH,
            "image_size": SEEN,
            "patch_size": 8,
            "mask_input_channels": 4,
        },
        mask_decoder_config=_mask_decoder(),
    )
    model = _random(lambda: SamModel(config))
    if finds_nothing:
        _find_nothing(model.mask_decoder)
    sizes = {
        "size": {"longest_edge": SEEN},
        "pad_size": {"height": SEEN, "width": SEEN},
        "mask_size": {"longest_edge": SEEN // 4},
        "mask_pad_size": {"height": SEEN // 4, "width": SEEN // 4},
    }
    return _save(model, SamProcessor(SamImageProcessor(**sizes)), folder)


def write_segment_anything_2(folder: Path, *, finds_nothing: bool = False) -> Path:
    """As facebook/sam2-hiera-*."""
    widths = [8, 16, 32, 64]
    config = Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": widths[0],
                "image_size": [SEEN, SEEN],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": widths,
                "num_attention_heads_per_stage": [1, 1, 2, 2],
                "window_size_per_stage": [4, 2, 2, 2],
                "global_attention_blocks": [3],
                "window_positional_embedding_background_size": [4, 4],
            },
            "backbone_channel_list": widths[::-1],
            "backbone_feature_sizes": [[SEEN // 4] * 2, [SEEN // 8] * 2, [SEEN // 16] * 2],
            "fpn_hidden_size": WIDTH,
        },
        prompt_encoder_config={
            "hidden_size": WIDTH,
            "image_size": SEEN,
            "patch_size": 16,
            "mask_input_channels": 4,
        },
        mask_decoder_config=_mask_decoder(),
    )
    model = _random(lambda: Sam2Model(config))
    if finds_nothing:
        _find_nothing(model.mask_decoder)
    size = {"height": SEEN, "width": SEEN}
    return _save(model, Sam2Processor(Sam2ImageProcessor(size=size, mask_size=size)), folder)


def _mask_decoder() -> dict[str, Any]:
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2, "iou_head_depth": 2, "iou_head_hidden_dim": WIDTH}
    return {"hidden_size": WIDTH, "mlp_dim": 2 * WIDTH, **heads}


def _find_nothing(decoder: Any) -> None:
    """Make every mask's logits far below 0: minus the sum of features that are all positive."""
    with torch.no_grad():
        decoder.upscale_conv2.weight.zero_()
        decoder.upscale_conv2.bias.fill_(5.0)
        for head in decoder.output_hypernetworks_mlps:
            head.proj_out.weight.zero_()
            head.proj_out.bias.fill_(-1.0)
        for name in ("conv_s0", "conv_s1"):  # Segment Anything 2 adds finer features
            if hasattr(decoder, name):
                getattr(decoder, name).weight.zero_()
                getattr(decoder, name).bias.zero_()


@functools.cache
def clip_tokenizer() -> Any:
    """CLIP's own kind of tokenizer, which knows letters only, with and without a word's end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizerFast(
        vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=_TEXT_TOKENS
    )


def _clip_text(**more: Any) -> CLIPTextConfig:
    tokenizer = clip_tokenizer()
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    size = {"vocab_size": len(tokenizer), "max_position_embeddings": _TEXT_TOKENS, "projection_dim": WIDTH}
    return CLIPTextConfig(**_SMALL, **size, **ends, pad_token_id=tokenizer.pad_token_id, **more)


def write_clip(folder: Path) -> Path:
    """As openai/clip-vit-*."""
    vision = {**_SMALL, "image_size": 32, "patch_size": 8, "projection_dim": WIDTH}
    config = CLIPConfig(text_config=_clip_text().to_dict(), vision_config=vision, projection_dim=WIDTH)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, **_NORM)
    return _save(_random(lambda: CLIPModel(config)), CLIPProcessor(images, clip_tokenizer()), folder)


def write_siglip(folder: Path) -> Path:
    """As google/siglip-*, with a tokenizer of letters."""
    letters = {word: number for number, word in enumerate(["</s>", "<unk>", *map(chr, range(32, 127))])}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[], unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    reader = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>", unk_token="<unk>", model_max_length=64
    )
    config = SiglipConfig(
        text_config={
            **_SMALL,
            "vocab_size": len(letters),
            "max_position_embeddings": 64,
            "projection_size": WIDTH,
            "pad_token_id": 0,
            "eos_token_id": 0,
            "bos_token_id": 0,
        },
        vision_config={**_SMALL, "image_size": 32, "patch_size": 8},
    )
    images = SiglipImageProcessor(size={"height": 32, "width": 32}, **_NORM)
    return _save(_random(lambda: SiglipModel(config)), SiglipProcessor(images, reader), folder)


def write_stable_diffusion(folder: Path, *, text_to_image: bool = False) -> Path:
    """As stable-diffusion-v1-5/stable-diffusion-inpainting: a UNet that sees the mask and what is kept.

    Args:
        text_to_image: One that sees neither, such as stable-diffusion-v1-5 itself.
    """
    from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline, StableDiffusionPipeline

    kind = StableDiffusionPipeline if text_to_image else StableDiffusionInpaintPipeline
    pipeline = kind(
        vae=_vae(),
        text_encoder=_random(lambda: CLIPTextModel(_clip_text())),
        tokenizer=clip_tokenizer(),
        unet=_unet(4 if text_to_image else 9),
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def write_stable_diffusion_xl(folder: Path) -> Path:
    """As diffusers/stable-diffusion-xl-1.0-inpainting-0.1: two text encoders, and sizes beside the text."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLInpaintPipeline

    text = _clip_text(hidden_act="gelu")
    extra = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    pipeline = StableDiffusionXLInpaintPipeline(
        vae=_vae(),
        text_encoder=_random(lambda: CLIPTextModel(text)),
        text_encoder_2=_random(lambda: CLIPTextModelWithProjection(text)),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=_unet(9, cross=2 * WIDTH, projection_class_embeddings_input_dim=6 * 8 + WIDTH, **extra),
        scheduler=EulerDiscreteScheduler(),
    )
    pipeline.save_pretrained(folder)
    return folder


def write_flux_fill(folder: Path) -> Path:
    """As black-forest-labs/FLUX.1-Fill-dev: a transformer that reads latents, mask and what is kept side by side."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxFillPipeline, FluxTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    from helpers.vision_language import byte_tokenizer

    reader = byte_tokenizer()
    t5 = T5Config(vocab_size=len(reader), d_model=WIDTH, d_kv=8, d_ff=2 * WIDTH, num_layers=1, num_heads=2)
    scale = 2  # of the VAE below: two levels
    channels = 4
    transformer = _random(
        lambda: FluxTransformer2DModel(
            patch_size=1,
            # Packed in squares of four: the noise, what is kept, and the mask's pixels.
            in_channels=4 * (2 * channels + scale * scale),
            out_channels=4 * channels,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            axes_dims_rope=(4, 6, 6),
            guidance_embeds=True,
        )
    )
    pipeline = FluxFillPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=_random(lambda: CLIPTextModel(_clip_text())),
        tokenizer=clip_tokenizer(),
        text_encoder_2=_random(lambda: T5EncoderModel(t5)),
        tokenizer_2=reader,
        transformer=transformer,
    )
    pipeline.save_pretrained(folder)
    return folder


def _vae(**more: Any) -> Any:
    from diffusers import AutoencoderKL

    levels = ("DownEncoderBlock2D",) * 2, ("UpDecoderBlock2D",) * 2
    return _random(
        lambda: AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=levels[0],
            up_block_types=levels[1],
            latent_channels=4,
            norm_num_groups=4,
            sample_size=64,
            **more,
        )
    )


def _unet(channels: int, cross: int = WIDTH, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return _random(
        lambda: UNet2DConditionModel(
            block_out_channels=(8, 16),
            layers_per_block=1,
            sample_size=32,
            in_channels=channels,
            out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=cross,
            attention_head_dim=4,
            norm_num_groups=4,
            **more,
        ),
        std=0.1,
    )


def _save(model: Any, processor: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
