"""Say what the newest run of a folder made, and where: `python tools/show_run.py output/sam/tiny`."""

import json
import sys
from pathlib import Path


def main(folder: str) -> None:
    """Print the files of the newest run below `folder`, how its loss went, and the first of its captions."""
    run = max((path for path in Path(folder).iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    events = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [event["loss"] for event in events if event["event"] == "epoch"]
    print(f"\nThis run made, in {run.resolve()}:")
    for file in sorted(path for path in run.rglob("*") if path.is_file()):
        print(f"  {file.relative_to(run)!s:45} {file.stat().st_size:>12,} bytes")
    print(f"Training loss of the first and the last of {len(losses)} epochs: {losses[0]:.3f}, {losses[-1]:.3f}.")
    for predictions in sorted(run.glob("result/**/pred.json")):
        print(f"The first captions in {predictions.relative_to(run)}:")
        for record in json.loads(predictions.read_text(encoding="utf-8"))[:3]:
            print(f"  {record['sample_id']}: {record['pred_response']!r}, wanted {record['gt_response']!r}")


if __name__ == "__main__":
    main(sys.argv[1])
