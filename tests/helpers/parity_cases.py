"""Changes to a copy of the stored case A."""

import json

from safetensors.torch import load_file, save_file


def edit_settings(folder, change):
    settings = json.loads((folder / "case_A.json").read_text())
    change(settings)
    (folder / "case_A.json").write_text(json.dumps(settings))


def edit_tensors(folder, kind, change):
    path = folder / f"case_A_{kind}.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
