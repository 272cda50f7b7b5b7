"""What the package itself holds: the model types, their configs, and paths into its folder."""

from pathlib import Path

from lavis_sam.weights.part_index import is_index

PACKAGE = Path(__file__).resolve().parents[1]
DEFAULT_MODEL_TYPE = "vicuna7b"
MODEL_TYPES = (DEFAULT_MODEL_TYPE, "vicuna13b", "tiny", "custom")
MODEL_CONFIGS = {
    model_type: str(PACKAGE / "configs" / "models" / f"blip2_vicuna_sam_{model_type}.yaml")
    for model_type in MODEL_TYPES
}
TINY_TOKENIZERS = PACKAGE / "assets" / "tiny" / "tokenizers"


def locate(path: str) -> str:
    """Return a path of a config as a path on disk: `package:` stands for the package's own folder, `~` for the home."""
    inside = path.removeprefix("package:")
    return str(Path(path).expanduser()) if inside == path else str(PACKAGE / inside)


def locate_folder(path: str) -> str:
    """Do as `locate`, except that the index of a transformers folder (`model.safetensors.index.json`) is the folder."""
    found = Path(locate(path))
    return str(found.parent if is_index(found) and (found.parent / "config.json").is_file() else found)
