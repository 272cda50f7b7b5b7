"""Makes the cases in `independent/`: the layout of the authors' cases, at other sizes, without this package's model.

    python -m venv /tmp/old && /tmp/old/bin/pip install --no-deps transformers==4.33.2 tokenizers==0.13.3
    (give it torch, sentencepiece and salesforce-lavis, say by a .pth file with the path of .venv's site-packages)
    PYTHONPATH=tests /tmp/old/bin/python tests/parity/make_independent_cases.py

What they are made of: LAVIS's own Q-Former layers, one image at a time; the ViT of the tests' oracle; Llama, its slow
tokenizer and its generation from transformers 4.33.2, the version of the released code. The semantics are those that
running the released code showed. They cover what its stored cases do not: ragged and truncated texts, prompts and
targets whose longest rows differ, other depths and cross-attention frequencies, layers at zero, several captions.
"""

import importlib.util
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import BertConfig, BertTokenizer, LlamaConfig, LlamaForCausalLM, LlamaTokenizer

from helpers import oracle

HERE = Path(__file__).parent
TOKENIZERS = HERE / "fixtures" / "tok"
TARGET = HERE / "independent"
# The released defaults of `generate`.
DECODING = {"num_beams": 5, "max_length": 256, "min_length": 1, "repetition_penalty": 1.5, "length_penalty": 1.0}
VIT = {"img_size": 28, "patch_size": 14, "embed_dim": 24, "depth": 2, "num_heads": 2, "mlp_ratio": 4.3637}
Q_FORMER = {
    "hidden_size": 16,
    "num_layers": 4,
    "num_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "cross_attention_freq": 2,
    "num_query_tokens": 3,
}
LLM = {
    "vocab_size": 196,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_layers": 2,
    "num_heads": 2,
    "max_position_embeddings": 512,
}
LONG = (
    "With the narratives paired with the initial images, how would you conclude the story using the last image? "
    "{image#1}Caption#1: the dog runs.{image#2}Caption#2: a cat sat"
)


def load_lavis_q_former():
    """LAVIS's Qformer.py alone: the package around it does not import on every version."""
    root = importlib.util.find_spec("lavis").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("lavis_q_former", f"{root}/models/blip2_models/Qformer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def randomise(module, std):
    for name, parameter in module.named_parameters():
        is_norm = "norm" in name.lower() and name.endswith("weight")
        nn.init.normal_(parameter, 1.0 if is_norm else 0.0, 0.1 if is_norm else std)


def random_vision(vit):
    width, hidden = vit["embed_dim"], int(vit["embed_dim"] * vit["mlp_ratio"])
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, (vit["img_size"] // vit["patch_size"]) ** 2 + 1, width),
        "patch_embed.proj.weight": (width, 3, vit["patch_size"], vit["patch_size"]),
        "patch_embed.proj.bias": (width,),
    }
    for i in range(vit["depth"]):
        block = {"norm1.weight": (width,), "norm1.bias": (width,), "norm2.weight": (width,), "norm2.bias": (width,)}
        block |= {"attn.q_bias": (width,), "attn.v_bias": (width,), "attn.qkv.weight": (3 * width, width)}
        block |= {"attn.proj.weight": (width, width), "attn.proj.bias": (width,)}
        block |= {"mlp.fc1.weight": (hidden, width), "mlp.fc1.bias": (hidden,)}
        block |= {"mlp.fc2.weight": (width, hidden), "mlp.fc2.bias": (width,)}
        shapes |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
    state = {f"visual_encoder.{name}": torch.randn(shape) * 0.1 for name, shape in shapes.items()}
    state |= {"ln_vision.weight": torch.randn(width) * 0.1, "ln_vision.bias": torch.randn(width) * 0.1}
    return {
        name: tensor + 1 if ("norm" in name and name.endswith("weight")) or name == "ln_vision.weight" else tensor
        for name, tensor in state.items()
    }


class Reference:
    """The released model in its own terms."""

    def __init__(self, vit, q_former, llm, *, max_txt_len, max_output_txt_len, zero):
        self.vit, self.max_txt_len, self.max_output_txt_len = vit, max_txt_len, max_output_txt_len
        self.bert_tokenizer = BertTokenizer(str(TOKENIZERS / "vocab.txt"), do_lower_case=True, truncation_side="left")
        self.bert_tokenizer.add_special_tokens({"bos_token": "[DEC]"})
        config = BertConfig(
            vocab_size=len(self.bert_tokenizer),
            hidden_size=q_former["hidden_size"],
            num_hidden_layers=q_former["num_layers"],
            num_attention_heads=q_former["num_heads"],
            intermediate_size=q_former["intermediate_size"],
            max_position_embeddings=q_former["max_position_embeddings"],
        )
        config.encoder_width, config.add_cross_attention = vit["embed_dim"], True
        config.cross_attention_freq, config.query_length = (
            q_former["cross_attention_freq"],
            q_former["num_query_tokens"],
        )
        self.bert = load_lavis_q_former().BertModel(config, add_pooling_layer=False).eval()
        self.vision = random_vision(vit)
        width = q_former["hidden_size"]
        self.query_tokens = torch.randn(1, q_former["num_query_tokens"], width) * 0.3
        self.trained = nn.ModuleDict(
            {"attn": nn.Linear(vit["embed_dim"], 1), "one": nn.Linear(width, width), "two": nn.Linear(width, width)}
        )
        self.llm_proj = nn.Linear(width, llm["hidden_size"])
        self.tokenizer = LlamaTokenizer(str(TOKENIZERS / "tokenizer.model"), truncation_side="left", legacy=True)
        self.tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        for token in ("bos_token", "eos_token", "unk_token"):
            self.tokenizer.add_special_tokens({token: "</s>"})
        self.llm = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=llm["vocab_size"],
                hidden_size=llm["hidden_size"],
                intermediate_size=llm["intermediate_size"],
                num_hidden_layers=llm["num_layers"],
                num_attention_heads=llm["num_heads"],
                max_position_embeddings=llm["max_position_embeddings"],
                rms_norm_eps=1e-6,
                bos_token_id=1,
                eos_token_id=2,
                pad_token_id=0,
            )
        ).eval()
        self.llm.resize_token_embeddings(len(self.tokenizer))
        for module, std in ((self.bert, 0.15), (self.llm, 0.3), (self.trained, 0.3), (self.llm_proj, 0.3)):
            randomise(module, std)
        if zero:
            for name in ("one", "two"):
                nn.init.zeros_(self.trained[name].weight)
                nn.init.zeros_(self.trained[name].bias)
        self.bert.requires_grad_(False)
        self.llm.requires_grad_(False)
        self.seen = {}

    def features(self, images):
        """[B, 3, H, W] -> [B, P, D_v]."""
        sizes = {"patch": self.vit["patch_size"], "depth": self.vit["depth"], "heads": self.vit["num_heads"]}
        return torch.stack([oracle.vision(image, self.vision, **sizes) for image in images])

    def layer(self, number, hidden, features):
        every = self.bert.invert_attention_mask(torch.ones(features.shape[:2]))
        queries = self.query_tokens.shape[1]
        return self.bert.encoder.layer[number](hidden, self.mask, None, features, every, None, False, queries)[0]

    def visual_tokens(self, images, prompts):
        text = self.bert_tokenizer(
            prompts, padding="longest", truncation=True, max_length=self.max_txt_len, return_tensors="pt"
        )
        queries = self.query_tokens.expand(len(images), -1, -1)
        start = self.bert.embeddings(input_ids=text.input_ids, query_embeds=queries)
        seen = torch.cat([torch.ones(queries.shape[:2], dtype=torch.long), text.attention_mask], 1)
        self.mask = self.bert.get_extended_attention_mask(seen, start.shape[:2], start.device, False)
        last, count = len(self.bert.encoder.layer) - 1, queries.shape[1]
        if images.dim() == 4:
            hidden, features = start, self.features(images)
            for number in range(last + 1):
                hidden = self.layer(number, hidden, features)
            return self.llm_proj(hidden[:, :count])
        features = torch.stack([self.features(images[:, :, j]) for j in range(images.shape[2])])
        weights = self.trained["attn"](features).softmax(0)
        context = (features * weights).sum(0)
        before, after = [], []
        for image in features:
            q, w = start, start
            for number in range(last):
                w, q = self.layer(number, w, context), self.layer(number, q, image)
            before.append((q, w))
            w = self.layer(last, w + self.trained["one"](q), context)
            after.append(self.layer(last, q + self.trained["two"](w), image)[:, :count])
        self.seen = {
            "in.qformer_input_ids": text.input_ids,
            "out.vit_features": features,
            "out.adaptive_weights": weights,
            "out.merged_context": context,
            "out.q_before_last": torch.stack([q for q, _ in before]),
            "out.w_before_last": before[0][1],
            "out.query_output": torch.stack(after),
        }
        return torch.cat([self.llm_proj(queries) for queries in after], 1)

    def loss(self, tokens, texts, targets):
        self.tokenizer.padding_side, self.tokenizer.truncation_side = "right", "left"
        kind = {"return_tensors": "pt", "padding": "longest", "truncation": True}
        prompt = self.tokenizer(texts, max_length=self.max_txt_len, **kind)
        self.tokenizer.truncation_side = "right"
        ends = [text + self.tokenizer.eos_token for text in targets]
        target = self.tokenizer(ends, max_length=self.max_output_txt_len, **kind)
        ids, mask, labels = [], [], []
        for row in range(len(texts)):
            length = int(prompt.attention_mask[row].sum())
            for parts, joined in (("input_ids", ids), ("attention_mask", mask)):
                joined.append(
                    torch.cat([prompt[parts][row][:length], target[parts][row][1:], prompt[parts][row][length:]])
                )
            label = ids[-1].masked_fill(ids[-1] == self.tokenizer.pad_token_id, -100)
            label[:length] = -100
            labels.append(label)
        visual = torch.ones(tokens.shape[:2], dtype=torch.long)
        labels = torch.cat([visual * -100, torch.stack(labels)], 1)
        embeddings = torch.cat([tokens, self.llm.get_input_embeddings()(torch.stack(ids))], 1)
        mask = torch.cat([visual, torch.stack(mask)], 1)
        output = self.llm(inputs_embeds=embeddings, attention_mask=mask, labels=labels, return_dict=True)
        self.seen |= {"in.labels": labels, "out.inputs_embeds": embeddings, "out.llm_full_attention_mask": mask}
        self.seen |= {"out.logits": output.logits}
        return output.loss

    def generate(self, tokens, texts, settings):
        self.tokenizer.padding_side = "left"
        text = self.tokenizer(texts, padding="longest", return_tensors="pt")
        embeddings = torch.cat([tokens, self.llm.get_input_embeddings()(text.input_ids)], 1)
        mask = torch.cat([torch.ones(tokens.shape[:2], dtype=torch.long), text.attention_mask], 1)
        settings = DECODING | settings
        captions = settings.pop("num_captions", 1)
        sequences = self.llm.generate(
            inputs_embeds=embeddings, attention_mask=mask, do_sample=False, num_return_sequences=captions, **settings
        )
        sequences[sequences == 0] = 2
        positions = (mask.cumsum(1) - 1).masked_fill(mask == 0, 1)
        self.seen |= {"out.gen_attention_mask": mask, "out.gen_position_ids": positions}
        return sequences, [text.strip() for text in self.tokenizer.batch_decode(sequences, skip_special_tokens=True)]

    def released(self):
        """Trained modules by the authors' names."""
        names = {
            "attn": self.trained["attn"],
            "Qformer.bert.encoder.one_2_muliple.0": self.trained["one"],
            "Qformer.bert.encoder.multiple_2_one.0": self.trained["two"],
            "llm_proj": self.llm_proj,
        }
        return {f"{name}.{leaf}": p for name, module in names.items() for leaf, p in module.named_parameters()}


def make(name, *, seed, images, texts, targets, generate, vit=VIT, q_former=Q_FORMER, llm=LLM, zero=False, **lengths):
    torch.manual_seed(seed)
    model = Reference(vit, q_former, llm, zero=zero, **lengths)
    image = torch.randn(len(texts), 3, images, vit["img_size"], vit["img_size"])
    with torch.no_grad():
        alone = model.visual_tokens(image[:, :, 0], texts)
        arrays = {"in.image": image, "out.visual_tokens_4d": alone}
        arrays["out.loss_4d"] = model.loss(alone, texts, targets).reshape(1)
        arrays["out.visual_tokens_n1_5d"] = model.visual_tokens(image[:, :, :1], texts)
    tokens = model.visual_tokens(image, texts)
    loss = model.loss(tokens, texts, targets)
    loss.backward()
    arrays |= {"out.visual_tokens": tokens, "out.loss": loss.reshape(1)}
    arrays |= {f"out.grad.{name}": parameter.grad for name, parameter in model.released().items()}
    generated = {}
    for setting, values in generate.items():
        with torch.no_grad():
            arrays[f"out.gen_{setting}_sequences"], generated[setting] = model.generate(tokens, texts, values)
    weights = {f"Qformer.bert.{key}": tensor for key, tensor in model.bert.state_dict().items()} | model.vision
    weights |= {f"llm_model.{key}": tensor for key, tensor in model.llm.state_dict().items()} | model.released()
    weights["query_tokens"] = model.query_tokens
    config = {"vit": vit, "qformer": q_former, "llm": llm, **lengths}
    record = {"case": name, "seed": seed, "batch": len(texts), "num_images": images, "config": config}
    record |= {"generate": generate, "text_input": texts, "text_output": targets, "generated_text": generated}
    (TARGET / f"case_{name}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for kind, tensors in (("io", arrays | model.seen), ("weights", weights)):
        plain = {key: tensor.detach().clone().contiguous() for key, tensor in tensors.items()}
        save_file(plain, TARGET / f"case_{name}_{kind}.safetensors")


def main():
    torch.set_num_threads(1)
    TARGET.mkdir(exist_ok=True)
    shutil.copytree(TOKENIZERS, TARGET / "tok", dirs_exist_ok=True)
    greedy = {"num_beams": 1, "repetition_penalty": 1.0, "max_length": 30}
    beam = {"num_beams": 5, "max_length": 60}
    make(
        "ragged",
        seed=2,
        images=3,
        texts=["what ?", LONG, "how many dogs are there ? é中"],
        targets=["all of the images show a red car and a group of people on the beach .", "yes", "a dog é "],
        generate={
            "greedy": greedy,
            "beam5": beam,
            "beam3_captions": {
                "num_beams": 3,
                "num_captions": 2,
                "length_penalty": 2.0,
                "max_length": 20,
                "min_length": 8,
            },
            "beam2_no_length": {"num_beams": 2, "length_penalty": 0.0, "max_length": 10, "repetition_penalty": 1.0},
            "beam4_short": {"num_beams": 4, "length_penalty": -1.0, "max_length": 40},
            "greedy_long": {"num_beams": 1, "min_length": 12, "max_length": 25},
        },
        q_former=Q_FORMER | {"num_layers": 3, "cross_attention_freq": 1},
        llm=LLM | {"num_layers": 3},
        max_txt_len=24,
        max_output_txt_len=16,
    )
    make(
        "odd_depth",
        seed=3,
        images=2,
        texts=["Describe {image#1}{image#2}Difference:", "  spaces  at ends  "],
        targets=["the dog has left.", " x y z"],
        generate={"greedy": greedy, "beam5": beam},
        vit=VIT | {"depth": 1},
        q_former=Q_FORMER | {"num_layers": 5},
        max_txt_len=128,
        max_output_txt_len=256,
    )
    make(
        "untrained_single",
        seed=4,
        images=1,
        texts=[LONG],
        targets=["a group of people"],
        generate={"greedy": greedy, "beam5": beam},
        vit=VIT | {"depth": 3},
        q_former=Q_FORMER | {"num_layers": 7, "cross_attention_freq": 3},
        llm=LLM | {"num_layers": 1},
        zero=True,
        max_txt_len=12,
        max_output_txt_len=5,
    )


if __name__ == "__main__":
    main()
