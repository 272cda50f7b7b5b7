"""Tiny random vision-language models of transformers', written as the folders that their authors give out."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BertTokenizerFast,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen2TokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    SiglipImageProcessor,
    T5Config,
)

SIDE = 28
NORM = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
# The turns that their templates write: role, then a mark for each image, then the text.
TEMPLATE = (
    "{%% for message in messages %%}<|im_start|>{{ message['role'] }}\n"
    "{%% for part in message['content'] if part['type'] == 'image' %%}%s{%% endfor %%}"
    "{%% for part in message['content'] if part['type'] == 'text' %%}{{ part['text'] }}{%% endfor %%}"
    "<|im_end|>\n{%% endfor %%}{%% if add_generation_prompt %%}<|im_start|>assistant\n{%% endif %%}"
)


def byte_tokenizer(*marks: str, kind: type = PreTrainedTokenizerFast) -> Any:
    """A tokenizer that knows single bytes and some marks, so that no text is foreign to it."""
    special = ["<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>", *marks]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return kind(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=special[3:],
        model_input_names=["input_ids", "attention_mask"],
    )


def _language(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        **more,
    }


def _vision(**more: Any) -> dict[str, Any]:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return {**sizes, "image_size": SIDE, "patch_size": 14, **more}


def _save(model: Any, processor: Any, folder: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_llava(folder: Path) -> Path:
    """As LLaVA-interleave: CLIP, a projection, a Llama; images in one turn."""
    tokenizer = byte_tokenizer("<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**_vision(projection_dim=16)).to_dict(),
        text_config=LlamaConfig(**_language(tokenizer)).to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
    )
    processor = LlavaProcessor(
        SiglipImageProcessor(size={"height": SIDE, "width": SIDE}, **NORM),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE % "<image>",
    )
    return _save(LlavaForConditionalGeneration(config), processor, folder)


def write_qwen2_vl(folder: Path) -> Path:
    """As Qwen2-VL: images keep their size, positions have three dimensions."""
    marks = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer = byte_tokenizer(*marks, kind=Qwen2TokenizerFast)
    ids = tokenizer.convert_tokens_to_ids
    text = _language(tokenizer, rope_scaling={"type": "mrope", "rope_type": "default", "mrope_section": [1, 1, 2]})
    config = Qwen2VLConfig(
        text_config=text,
        vision_config={
            "depth": 2,
            "embed_dim": 16,
            "hidden_size": 16,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 14,
        },
        vision_start_token_id=ids(marks[0]),
        vision_end_token_id=ids(marks[1]),
        image_token_id=ids(marks[2]),
        video_token_id=ids(marks[3]),
    )
    pixels = {"min_pixels": 28 * 28, "max_pixels": 56 * 56}
    processor = Qwen2VLProcessor(
        Qwen2VLImageProcessor(**pixels),
        tokenizer,
        Qwen2VLVideoProcessor(**pixels),
        chat_template=TEMPLATE % "<|vision_start|><|image_pad|><|vision_end|>",
    )
    return _save(Qwen2VLForConditionalGeneration(config), processor, folder)


def write_idefics3(folder: Path) -> Path:
    """As Idefics3: an image is cut into tiles, each written as rows and columns."""
    marks = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"]
    tokenizer = byte_tokenizer(*marks, *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)))
    config = Idefics3Config(
        vision_config=_vision(),
        text_config=LlamaConfig(**_language(tokenizer)).to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=2,
    )
    processor = Idefics3Processor(
        Idefics3ImageProcessor(
            size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}, do_image_splitting=True
        ),
        tokenizer,
        image_seq_len=1,
        chat_template=TEMPLATE % "<image>",
    )
    return _save(Idefics3ForConditionalGeneration(config), processor, folder)


def write_blip2(folder: Path, *, language: str = "opt") -> Path:
    """As BLIP-2: a Q-Former that reads no text, and an OPT or a T5."""
    tokenizer = byte_tokenizer("<image>")
    if language == "opt":
        text = OPTConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            word_embed_proj_dim=16,
            ffn_dim=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=512,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=2,
        )
    else:
        text = T5Config(
            vocab_size=len(tokenizer),
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=2,
            decoder_start_token_id=2,
            eos_token_id=1,
            pad_token_id=2,
        )
    config = Blip2Config(
        vision_config=_vision(),
        qformer_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "encoder_hidden_size": 16,
        },
        text_config=text.to_dict(),
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    processor = Blip2Processor(
        BlipImageProcessor(size={"height": SIDE, "width": SIDE}, **NORM), tokenizer, num_query_tokens=4
    )
    return _save(Blip2ForConditionalGeneration(config), processor, folder)


def write_instructblip(folder: Path) -> Path:
    """As InstructBLIP on Vicuna: a Q-Former that reads the instruction, and a Llama."""
    tokenizer, reader = byte_tokenizer("<image>"), _bert_tokenizer()
    config = InstructBlipConfig(
        vision_config=_vision(),
        qformer_config={
            "vocab_size": len(reader),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "encoder_hidden_size": 16,
            "max_position_embeddings": 160,
        },
        text_config=LlamaConfig(**_language(tokenizer)).to_dict(),
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    processor = InstructBlipProcessor(
        BlipImageProcessor(size={"height": SIDE, "width": SIDE}, **NORM), tokenizer, reader, num_query_tokens=4
    )
    return _save(InstructBlipForConditionalGeneration(config), processor, folder)


def _bert_tokenizer() -> Any:
    """One word for every letter, so that other instructions are read differently."""
    letters = [chr(number) for number in range(33, 127)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.txt"
        file.write_text("\n".join(vocabulary), encoding="utf-8")
        return BertTokenizerFast(str(file))
