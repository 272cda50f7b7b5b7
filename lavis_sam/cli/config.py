"""`lavis-sam config`: what a run would be given, and where each value comes from."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from lavis_sam.cli.run_options import CfgPath, ConfigAndWords, Data, Option, read_config
from lavis_sam.terminal import echo


def config(
    words: ConfigAndWords = None,
    cfg_path: CfgPath = None,
    options: Option = None,
    data: Data = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print {key: {value, origin}} as JSON, nothing else.")
    ] = False,
) -> None:
    """Print the resolved configuration of a run with the origin of every value.

    Origins: `default` (of the runner), `packaged` (the model's or data set's YAML inside the package), `file`,
    `option`. The whole configuration is checked; files that it names need not exist.

    \b
    Examples:
      lavis-sam config projects/sam/train.yaml
      lavis-sam config --cfg-path projects/sam/train.yaml --options model.model_type=tiny run.init_lr=1e-4
    """
    from lavis_sam.files import to_json

    resolved = read_config(cfg_path, options, words, data)
    values = {key: {"value": value, "origin": resolved.origin(key)} for key, value in leaves(resolved.to_dict())}
    if as_json:
        echo(to_json(values))
        return
    width = max(len(key) for key in values)
    for key, entry in values.items():
        text = f"{key:<{width}}  {to_json(entry['value'], indent=None)}"
        echo(f"{text:<{width + 32}}  # {entry['origin']}")


def leaves(node: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of everything that is not a mapping; an empty mapping is a value."""
    if isinstance(node, Mapping) and (node or not above):
        for key, value in node.items():
            yield from leaves(value, f"{above}.{key}" if above else str(key))
    else:
        yield above, node
